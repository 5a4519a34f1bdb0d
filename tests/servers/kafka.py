"""A real Apache Kafka broker (KRaft, one node), started for the tests with java, reached over loopback."""

from __future__ import annotations

import glob
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.servers.ports import end, free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "canary-broker-password"  # of the test broker's user, and of its key store
LIBS = ROOT / ".cache" / "kafka" / "libs"


def jars() -> str:
    """The class path; fetches the jars by their Maven coordinates if they are not there."""
    if not glob.glob(str(LIBS / "kafka_*.jar")):
        pom = Path(__file__).parent / "kafka" / "pom.xml"
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={LIBS}"],
            capture_output=True,
        )
        if done.returncode:
            raise RuntimeError(f"mvn: {(done.stdout + done.stderr).decode()[-2000:]}")
    return f"{LIBS}/*"


class Kafka:
    """One broker."""

    def __init__(self, heap: str = "512m") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="driftd-kafka-"))
        self.port, self._controller = free_port(), free_port()
        self.sasl_port, self.tls_port = free_port(), free_port()
        self._make_certificate()
        self._heap = heap
        self._classpath = jars()
        (self.folder / "server.properties").write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self._controller}
listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port},SSL://127.0.0.1:{self.tls_port},CONTROLLER://127.0.0.1:{self._controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port},SSL://127.0.0.1:{self.tls_port}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_driftd="{PASSWORD}";
ssl.keystore.location={self.folder}/keys.p12
ssl.keystore.password={PASSWORD}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL
log.dirs={self.folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.retention.ms=-1
message.max.bytes=20000000
"""
        )
        self._java("kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", f"{self.folder}/server.properties")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def _make_certificate(self) -> None:
        """A key for 127.0.0.1, and its certificate as the authority that clients trust: `ca`."""
        keys, self.ca = self.folder / "keys.p12", self.folder / "ca.pem"
        store = ["-keystore", str(keys), "-storepass", PASSWORD, "-alias", "broker"]
        make = ["-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1"]
        for arguments in ([*make, *store], ["-exportcert", "-rfc", "-file", str(self.ca), *store]):
            done = subprocess.run(["keytool", *arguments], capture_output=True)
            if done.returncode:
                raise RuntimeError(f"keytool: {(done.stdout + done.stderr).decode()[-1000:]}")

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _command(self, main: str, *arguments: str) -> list[str]:
        flags = [f"-Xmx{self._heap}", "-XX:+UseSerialGC", "-Dlog4j.rootLogger=WARN", f"-Dkafka.logs.dir={self.folder}"]
        return ["java", *flags, "-cp", self._classpath, main, *arguments]

    def _java(self, main: str, *arguments: str) -> None:
        done = subprocess.run(self._command(main, *arguments), capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{main}: {(done.stdout + done.stderr).decode()[-2000:]}")

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(self._command("kafka.Kafka", f"{self.folder}/server.properties"), stdout=log, stderr=log)
        wait_for(self._answers, 60, f"Kafka on port {self.port}; its log is {self.folder}/log")

    def _answers(self) -> bool:
        try:
            return bool(AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=1).brokers)
        except Exception:
            return False

    def create(self, topic: str, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result(20)

    def producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": 0,
                "linger.ms": 5,
                "enable.idempotence": True,  # what is sent again keeps its place
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def close(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGKILL)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)
