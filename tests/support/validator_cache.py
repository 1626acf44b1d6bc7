"""Stores a file in the HTTP cache of roc-validator, whose Python runs this, with the arguments CACHE URL FILE."""

import sys
from pathlib import Path

from requests import Request
from requests_cache import CachedSession
from requests_cache.models import CachedResponse

cache, url, file = sys.argv[1:]
session = CachedSession(cache_name=cache, backend="sqlite")
key = session.cache.create_key(session.prepare_request(Request("GET", url)))
headers = {"Content-Type": "application/ld+json"}
content = Path(file).read_bytes()
session.cache.responses[key] = CachedResponse(content=content, url=url, status_code=200, headers=headers)
session.close()
