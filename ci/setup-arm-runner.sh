#!/usr/bin/env bash
# Sets up this machine as a self-hosted runner: a Raspberry Pi 5, or any arm64 Linux with systemd. See ci/arm-runner.md.
#
#   sudo ci/setup-arm-runner.sh --repository https://github.com/OWNER/REPO --device KEY \
#       --runner ARCHIVE --sha256 SUM [--data FOLDER] [--name NAME] [--root FOLDER]
#
# The script reads the registration token from standard input; it is never an argument. Run it again to change the
# device or the data, or to repair an installation: it keeps what is already in place. With --root it is a rehearsal:
# it writes files under FOLDER, and shows commands that change the system instead of running them.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
user=edgeai-runner
home=/var/lib/$user
governor=/etc/tmpfiles.d/edgeai-governor.conf
unit=/etc/systemd/system/$user.service
repository='' device='' runner='' sum='' data='' name=$(uname -n) root=''

fail() {
    echo "setup-arm-runner.sh: $1" >&2
    exit 2
}

# Run a command that changes the system; only show it in a rehearsal.
system() {
    if [ -n "$root" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

# Write standard input to a file, unless the file already has this content.
put() {
    mkdir -p "$(dirname "$root$1")"
    cat >"$root$1.new"
    if cmp --silent "$root$1.new" "$root$1"; then
        rm "$root$1.new"
    else
        mv "$root$1.new" "$root$1"
        echo "written: $1"
    fi
}

while [ $# -gt 0 ]; do
    option=$1
    value=${2:-}
    [ -n "$value" ] || fail "the value of $option is missing; see the head of this file"
    case $option in
        --repository) repository=$value ;;
        --device) device=$value ;;
        --runner) runner=$value ;;
        --sha256) sum=$value ;;
        --data) data=$value ;;
        --name) name=$value ;;
        --root) root=$value ;;
        *) fail "options must be known (got $option); see the head of this file" ;;
    esac
    shift 2
done
[[ $repository == https://*/*/* ]] || fail "--repository must be https://github.com/OWNER/REPO (got '$repository')"
grep --quiet --line-regexp --regexp="  - key: $device" "$checkout/claims/devices.yaml" ||
    fail "--device must be a key of claims/devices.yaml (got '$device'); add the device there first"
[[ $sum =~ ^[0-9a-f]{64}$ ]] || fail "--sha256 must be 64 hexadecimal digits (got '$sum'); the release's page has it"
if [ -n "$data" ]; then
    [ -d "$data" ] || fail "--data must be a folder with CIFAR-10 (got '$data'); copy it here first"
    data=$(cd "$data" && pwd)
fi
if [ -z "$root" ]; then
    [ "$(id --user)" = 0 ] || fail "the user must be root (got $(id --user --name)); use sudo, or rehearse with --root"
    [ "$(uname -m)" = aarch64 ] || fail "the machine must be arm64 (got $(uname -m)); rehearse with --root"
fi

# 1. A separate user without a password, a shell or any rights.
if [ -n "$root" ] || ! id "$user" >/dev/null 2>&1; then
    system useradd --system --home-dir "$home" --shell /usr/sbin/nologin "$user"
fi

# 2. GitHub's runner. It is unpacked only once, because it updates itself.
mkdir -p "$root$home"
if [ ! -e "$root$home/config.sh" ]; then
    archive=$runner
    if [[ $runner == https://* ]]; then
        archive=$(mktemp)
        trap 'rm -f "$archive"' EXIT
        curl --fail --silent --show-error --location --retry 3 --output "$archive" -- "$runner"
    fi
    [ -f "$archive" ] || fail "--runner must be a file or an https address (got '$runner')"
    echo "$sum  $archive" | sha256sum --check --status ||
        fail "--runner must have the sha256 $sum (got $(sha256sum "$archive" | cut -c -64)); download it again"
    tar --extract --gzip --no-same-owner --file "$archive" --directory "$root$home"
    echo "unpacked: $home"
fi

# 3. The environment variables of the jobs, the pinned CPU frequency, and the service.
put "$home/.env" <<END
EDGEAI_DEVICE=$device
${data:+EDGEAI_DATA=$data}
END
put "$governor" <<END
# A varying frequency would affect every measured time.
w /sys/devices/system/cpu/cpufreq/policy*/scaling_governor - - - - performance
END
put "$unit" <<END
[Unit]
Description=GitHub Actions runner of edgeai-repro
Wants=network-online.target
After=network-online.target

[Service]
User=$user
WorkingDirectory=$home
# Also pinned here, because the frequency driver may load after systemd-tmpfiles ran at boot.
ExecStartPre=+systemd-tmpfiles --create $governor
ExecStart=$home/run.sh
Restart=always
KillMode=process
TimeoutStopSec=5min
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectSystem=strict
ReadWritePaths=$home

[Install]
WantedBy=multi-user.target
END
system chown --recursive "$user:" "$home"

# 4. Registration, only once. The runner reads the token from its environment, so that no list of processes shows it.
if [ ! -e "$root$home/.runner" ]; then
    IFS= read -r token || [ -n "$token" ] || fail "the registration token is missing on standard input; paste it, or pipe it in"
    (
        cd "$root$home"
        export ACTIONS_RUNNER_INPUT_TOKEN=$token HOME=$home
        system runuser --user "$user" -- ./config.sh --unattended --replace --url "$repository" --name "$name" \
            --labels "$device"
    )
fi

# 5. Start the service, and show the governor and the throttling flags, which decide if times are comparable.
system systemctl daemon-reload
system systemctl enable "$user.service"
system systemctl restart "$user.service"
for file in /sys/devices/system/cpu/cpufreq/policy*/scaling_governor /sys/devices/platform/soc*/soc*:firmware/get_throttled; do
    [ ! -r "$file" ] || echo "$file: $(cat "$file")"
done
