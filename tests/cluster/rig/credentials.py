"""The rig's certificates and tokens: its own authority, who may come in with what, and what has run out."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.rig.network import API_SERVICE, GATEWAY

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Of service account tokens."""

SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
SERVER_ADDRESSES = ("127.0.0.1", GATEWAY, API_SERVICE)

_EARLIER = timedelta(hours=2)
"""Certificates begin to hold before now, so that one can have run out."""

_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes


class Credentials:
    """The files of one rig's folder `certs`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.crt"
        self.server_certificate = folder / "server.crt"
        self.server_key = folder / "server.key"
        self.account_key = folder / "service-accounts.key"
        """Signs service account tokens."""
        self._ca_key = folder / "ca.key"

    def make(self) -> None:
        """A new authority, the server's certificate, and the key of service accounts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("modelyard-rig", ())
        certificate = (
            _builder(name, name, key, timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._ca_key.write_bytes(_pem(key))
        server = self._issue("kube-apiserver", (), "server", timedelta(days=30))
        self.server_certificate.write_bytes(server.certificate)
        self.server_key.write_bytes(server.key)
        self.account_key.write_bytes(_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))

    def client(self, user: str, groups: Sequence[str], lasts: timedelta) -> Pair:
        """A certificate that the API server takes for `user`, a member of `groups`."""
        return self._issue(user, groups, "client", lasts)

    def token(self, namespace: str, account: str, uid: str, lasts: timedelta) -> str:
        """A service account's token that holds for `lasts` from now; a negative time makes one that has run out."""
        now = datetime.now(UTC)
        claims = {
            "aud": [ISSUER],
            "iss": ISSUER,
            "iat": _seconds(now - _EARLIER),
            "nbf": _seconds(now - _EARLIER),
            "exp": _seconds(now + lasts),
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}},
        }
        key = serialization.load_pem_private_key(self.account_key.read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        signed = f"{_base64url(json.dumps({'alg': 'RS256', 'typ': 'JWT'}))}.{_base64url(json.dumps(claims))}"
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"

    def _issue(self, user: str, groups: Sequence[str], use: str, lasts: timedelta) -> Pair:
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        authority_key = serialization.load_pem_private_key(self._ca_key.read_bytes(), password=None)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(user, groups), authority.subject, key, lasts)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGES[use]]), critical=False)
        )
        if use == "server":
            names = [x509.DNSName(name) for name in SERVER_NAMES]
            addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in SERVER_ADDRESSES]
            builder = builder.add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + lasts)
    )


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    """As Kubernetes reads it: the common name is the user, each organisation a group."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _base64url(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
