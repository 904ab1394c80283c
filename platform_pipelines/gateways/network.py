"""Whom connections trust and by which proxy they go: one answer for every client alike.

Trust: the certificates of `SSL_CERT_FILE`, else those of this system, else those that certifi
brings. Proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (or in small letters), and
none to this machine itself. Each library has ways of its own to find both; what is decided here is
handed to each. The standard library reads the variables, so that workers see the same.
"""

import ipaddress
import ssl
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from platform_pipelines.errors import ConfigurationError, hide_user

if TYPE_CHECKING:
    from requests import Session

_NOBODY = "http://127.0.0.1:9"  # a proxy that is named and then left out for every host
_GRPC_SCHEMES = {"tcp": "http"}  # Milvus' own name for a connection without TLS


def authorities() -> str:
    """The file of the certificates that every client trusts."""
    import certifi

    return ssl.get_default_verify_paths().cafile or certifi.where()


def trusted(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trust in `ca_file`, else in `authorities()`.

    Raises:
        ConfigurationError: the file cannot be read, or holds no certificate.
    """
    chosen = str(ca_file or authorities())
    try:
        return ssl.create_default_context(cafile=chosen)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the file of trusted certificates cannot be used: {error}",
            where=chosen,
            expected="certificates as PEM",
            remedy="name another file as ca_file, or in SSL_CERT_FILE",
        ) from error


def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> str | None:
    """The proxy by which this address is reached, None: directly. This machine always is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    scheme = _GRPC_SCHEMES.get(parts.scheme, parts.scheme)
    found = getproxies()
    proxy = found.get(scheme) or found.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def sendable(key: str | None, url: str, hosts: Sequence[str]) -> str | None:
    """The key, if it may be sent there: to one of `hosts` (`*.corp.example`), where any are named.

    Raises:
        ConfigurationError: it may not; nothing has been sent.
    """
    parts = urlsplit(url)
    names = ((parts.hostname or "").lower(), parts.netloc.rpartition("@")[2].lower())
    if key is None or not hosts:
        return key
    if any(fnmatchcase(name, host.lower()) for name in names for host in hosts):
        return key
    raise ConfigurationError(
        "the API key may not be sent to this host",
        where=hide_user(url),
        stored=", ".join(hosts),
        expected=names[0],
        remedy="correct the declared url, or name the host in PLATFORM_API_KEY_HOSTS",
    )


def policy() -> str:
    """What is in force, in words; passwords of proxies are left out."""
    found = {n: p for n, p in getproxies().items() if n in ("http", "https", "all", "no")}
    shown = [f"{n} {p if n == 'no' else hide_user(p)}" for n, p in sorted(found.items())]
    proxies = ", ".join(shown) or "none"
    return f"trusts {authorities()}; proxies: {proxies}; never one to this machine"


def boto3_network(url: str) -> tuple[str, dict[str, str]]:
    """(`verify` of a client, `proxies` of its configuration); empty proxies are no proxies."""
    proxy = proxy_for(url)
    return authorities(), {} if proxy is None else {urlsplit(url).scheme: proxy}


def obstore_network(url: str) -> dict[str, str]:
    """Client options. obstore itself reads the trusted certificates from `SSL_CERT_FILE`.

    It would take the proxies of the environment, to this machine too: one that is named and
    excluded for all hosts switches that off.
    """
    proxy = proxy_for(url)
    if proxy is None:
        return {"proxy_url": _NOBODY, "proxy_excludes": "*,0.0.0.0/0,::/0"}
    return {"proxy_url": proxy}


def pymilvus_network(url: str) -> dict[str, Any]:
    """Arguments of a client. gRPC knows proxies in small letters only, and no loopback."""
    proxy = proxy_for(url)
    option = {"grpc.enable_http_proxy": 0} if proxy is None else {"grpc.http_proxy": proxy}
    trust = {"server_pem_path": authorities()} if url.startswith("https://") else {}
    return {"grpc_options": option, **trust}


def requests_session(url: str) -> "Session":
    """A session for one address: redirects are not followed, so its headers go to one host."""
    import requests

    class OneHost(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            del resp

    session = OneHost()
    session.trust_env = False
    session.verify = authorities()
    proxy = proxy_for(url)
    if proxy is not None:
        session.proxies = {urlsplit(url).scheme: proxy}
    return session
