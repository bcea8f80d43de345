"""A broker that asks who one is: worker, learner and tools over TLS, with SCRAM or with certificates."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.server import Identity, KafkaServer
from learner.connections import connect_consumer, connect_producer, partitions_of, poll
from schemas.access import Access
from schemas.errors import BrokerError
from stream.administration import create_topics, open_admin
from stream.process import HOST, free_port
from stream.settings import Settings
from tests.certificates import Certificates, make_certificates
from tests.cluster import Cluster, Message, now_ms

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

USER, PASSWORD, TOKEN = "freshrank", "correct-horse", "battery-staple"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(
    kafka_jars: Path,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KafkaServer]:
    identity = Identity(
        keystore=certificates.broker, authority=certificates.authority, username=USER, password=PASSWORD
    )
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), identity)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sasl(server: KafkaServer, certificates: Certificates) -> Access:
    return Access(
        broker=f"{HOST}:{server.sasl_port}",
        security="SASL_SSL",
        sasl_username=USER,
        sasl_password=PASSWORD,
        tls_ca=str(certificates.authority),
    )


@pytest.fixture
def tls(server: KafkaServer, certificates: Certificates) -> Access:
    return Access(
        broker=f"{HOST}:{server.tls_port}",
        security="SSL",
        tls_ca=str(certificates.authority),
        tls_certificate=str(certificates.client),
        tls_key=str(certificates.client_key),
    )


def settings_over(access: Access, prefix: str, home: Path) -> Settings:
    return Settings(
        **vars(access),
        prefix=prefix,
        group=prefix.rstrip("."),
        state_dir=str(home / "state"),
        web_port=free_port(),
        web_token=TOKEN,
        partitions=1,
        window_s=1.0,
        lateness_s=0.1,
        roles=("label",),
    )


@pytest.mark.parametrize("way", ["sasl", "tls"])
def test_a_worker_labels_over_a_secured_broker(
    way: str, request: pytest.FixtureRequest, prefix: str, tmp_path: Path
) -> None:
    settings = settings_over(request.getfixturevalue(way), prefix, tmp_path)
    create_topics(settings)
    common = {"request_id": "r", "user_id": "u", "ts": now_ms()}
    shown = {**common, "event_id": "i", "items": [{"item_id": "a", "position": 0}]}
    with Cluster(settings, tmp_path / "worker.log") as cluster:
        cluster.send_together(
            [
                Message("impressions", json.dumps(shown).encode()),
                Message("clicks", json.dumps({**common, "event_id": "c", "item_id": "a"}).encode()),
            ]
        )
        assert cluster.labels("r", bool)[0].outcomes[0].clicked
        assert cluster.worker.get("/metrics", token="")[0] == 401
        assert cluster.worker.get("/metrics")[0] == 200
    said = (tmp_path / "worker.log").read_text()
    assert PASSWORD not in said
    assert TOKEN not in said


@pytest.mark.parametrize("way", ["sasl", "tls"])
def test_the_learners_connections_are_secured_as_well(
    way: str, request: pytest.FixtureRequest, prefix: str, tmp_path: Path
) -> None:
    access = request.getfixturevalue(way)
    create_topics(settings_over(access, prefix, tmp_path))
    producer, consumer = connect_producer(access), connect_consumer(access)
    try:
        producer.send(prefix + "labels", b"x").get(timeout=10)
        consumer.assign(partitions_of(consumer, prefix + "labels"))
        assert [message.value for message in poll(consumer, 10_000)] == [b"x"]
    finally:
        consumer.close()
        producer.close(timeout=60)


def test_a_wrong_password_is_refused(sasl: Access) -> None:
    wrong = Access(**{**vars(sasl), "sasl_password": "guess"})
    with pytest.raises(BrokerError, match="expected an answer, got") as caught, open_admin(wrong):
        pass
    assert "guess" not in str(caught.value)


def test_a_broker_of_another_authority_is_not_trusted(sasl: Access, tmp_path: Path) -> None:
    stranger = make_certificates(tmp_path).authority
    with pytest.raises(BrokerError), open_admin(Access(**{**vars(sasl), "tls_ca": str(stranger)})):
        pass
