"""
Why a server could not be asked, in a sentence: MLflow has one code for all of it, and 600 characters of urllib3's
words. What happened is in the exceptions that its own was raised from (seen in MLflow 2.22 to 3.18).
"""

import re
import socket
import ssl
from collections.abc import Iterator
from textwrap import shorten

from reconciler.core.text import ended


def why_unreachable(error: BaseException) -> tuple[str, str] | None:
    """
    What a server did, as the end of a sentence that begins with its address, and what to do about it; None where none
    of the exceptions behind this one tells.
    """
    from requests.exceptions import ProxyError
    from urllib3.exceptions import ConnectTimeoutError, ProtocolError, ReadTimeoutError, ResponseError

    behind = list(_behind(error))
    # What tells most comes first: several of them are behind one error.
    kinds = (ProxyError, ssl.SSLCertVerificationError, ssl.SSLError, socket.gaierror, ConnectionRefusedError)
    kinds += (ResponseError, ReadTimeoutError, ConnectTimeoutError, ProtocolError, ConnectionError)
    match next((cause for kind in kinds for cause in behind if isinstance(cause, kind)), None):
        case None:
            return None
        case ProxyError():
            did = "is behind a proxy that refuses the connection"
            remedy = "Check HTTPS_PROXY and HTTP_PROXY, or name the server in NO_PROXY."
        case ssl.SSLCertVerificationError(verify_message=reason):
            did = f"has a certificate that is not trusted here ({reason})"
            remedy = (
                "Name the certificate of the authority that signed it in MLFLOW_TRACKING_SERVER_CERT_PATH (a PEM "
                "file), or correct the address."
            )
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            did, remedy = "does not use TLS at that port", "Try `http://`."
        case ssl.SSLError() as failure:
            did = f"refused our TLS connection ({failure.args[-1]})"
            remedy = "If it requires a client certificate, name it in MLFLOW_TRACKING_CLIENT_CERT_PATH."
        case socket.gaierror():
            did = "has a host name that is not known here"
            remedy = "Check the address, and the DNS or the VPN of this machine."
        case ConnectionRefusedError():
            did, remedy = "is down: nothing listens at that port", "Start the server, or correct the address."
        case ResponseError() as failure:
            status = re.search(r"too many (\d{3})", str(failure))
            did = f"answers with {f'HTTP {status[1]}' if status else 'an error'} every time"
            remedy = "Look at the log of the server, or of the proxy before it."
        case ReadTimeoutError():
            did = "accepts requests but does not answer in time"
            remedy = "Look at the server's log; MLFLOW_HTTP_REQUEST_TIMEOUT sets how many seconds to wait."
        case ConnectTimeoutError():
            did = "cannot be reached: nothing answers at that address"
            remedy = "Check the address, and whether a firewall or a VPN is between this machine and it."
        case _:
            did = "closes the connection"
            remedy = "Look at the log of the server, or of the proxy before it. Try `https://`."
    return did, remedy


def was_cut_off(error: BaseException) -> bool:
    """Whether an answer broke off. MLflow's client tries that no second time (seen in 3.17)."""
    from requests.exceptions import ChunkedEncodingError

    return any(isinstance(cause, ChunkedEncodingError) for cause in _behind(error))


def sentence(said: str) -> str:
    """Not too long, and with an end, so that what to do can follow."""
    return ended(shorten(said, 600, placeholder=" …"))


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that this one was raised from, or that it holds."""
    ahead, seen = [error], set[int]()
    while ahead:
        cause = ahead.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        held = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        ahead += [e for e in held if isinstance(e, BaseException)]
