"""What each technique really buys for anyone's model: `run.audit` makes it, `record.Audit` is what it says."""
