# Runs inside the test machine's network: drives the engine with docker-py, as its users do, and prints what it saw as
# JSON. Argument: the engine's address.
import gzip
import io
import json
import socket
import sys
import tarfile

import docker
from docker.types import EndpointConfig, IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit
from docker.utils.socket import next_frame_header, read_exactly

address = sys.argv[1]
client = docker.DockerClient(base_url=address, version="auto", timeout=30)
api = client.api


def archive(**files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def text(pieces):
    return b"".join(pieces).decode()


def refused(act):
    try:
        act()
    except docker.errors.APIError as error:
        return [type(error).__name__, error.status_code]


def settings():
    """Everything of a container that an idempotent user compares, as it was asked for."""
    container = client.containers.create(
        "busybox", "true", name="full", cap_add=["NET_ADMIN"], cpu_shares=512, dns=["8.8.8.8"], extra_hosts={"a": "1.2.3.4"},
        healthcheck={"test": ["CMD", "true"], "interval": 10**9}, init=True, labels={"l": "1"},
        log_config=LogConfig(type="json-file", config={"max-size": "1m"}), mem_limit="64m", memswap_limit="128m",
        mounts=[Mount("/t", None, type="tmpfs", tmpfs_size="1m"), Mount("/v", "named")],
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 3}, security_opt=["no-new-privileges"], stop_signal="SIGINT",
        sysctls={"net.core.somaxconn": "1024"}, tmpfs={"/s": "size=1m"}, ulimits=[Ulimit(name="nofile", soft=100, hard=200)])
    host = container.attrs["HostConfig"]
    names = ["CapAdd", "CpuShares", "Dns", "ExtraHosts", "Init", "Memory", "MemorySwap", "PortBindings", "RestartPolicy",
             "SecurityOpt", "Sysctls", "Tmpfs", "Ulimits", "LogConfig"]
    container.remove(v=True)
    client.volumes.get("named").remove()
    return {name: host[name] for name in names}


def execute(container, options=None, **how):
    """The command waits for a file that is made once the answer has begun: docker-py loses what comes with its head."""
    start = f"go-{len(options or {})}"
    waiting = f"until [ -e /{start} ]; do sleep 0.02; done; echo out; echo err >&2; exit 7"
    made = api.exec_create(container.id, ["sh", "-c", waiting], **(options or {}))
    pieces = api.exec_start(made, stream=True, **how)
    container.put_archive("/", archive(**{start: b""}))
    said = list(pieces)
    sides = zip(*said) if how.get("demux") else [said]
    return [text(filter(None, side)) for side in sides], api.exec_inspect(made)["ExitCode"]


def typed(container):
    made = api.exec_create(container.id, "cat", stdin=True)
    stream = api.exec_start(made, socket=True)
    stream._sock.sendall(b"typed")
    stream._sock.shutdown(socket.SHUT_WR)
    _, length = next_frame_header(stream)
    return read_exactly(stream, length).decode()


def attached():
    container = client.containers.create("busybox", "head -n1", stdin_open=True)
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    stream._sock.sendall(b"a line\n")
    _, length = next_frame_header(stream)
    said = read_exactly(stream, length).decode()
    ended = container.wait()
    container.remove()
    return said, ended


def logs():
    container = client.containers.run("busybox", ["sh", "-c", "echo one; until [ -e /go ]; do sleep 0.02; done; echo two"], detach=True)
    follow = container.logs(stream=True, follow=True)
    lines = [next(follow)]
    container.put_archive("/", archive(go=b""))
    lines += list(follow)
    container.wait()
    result = [text(lines), container.logs(tail=1).decode(), container.logs(since=1, until=2).decode()]
    container.remove()
    return result


def files(container):
    content = bytes(range(256)) * 1000
    container.put_archive("/tmp", iter([archive(chunked=content)[at:at + 777] for at in range(0, 10240 + len(content), 777)]))
    results = []
    for size in (1000, None):
        pieces, stat = container.get_archive("/tmp/chunked", chunk_size=size)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            results.append(tar.extractfile("chunked").read() == content and stat["size"])
    return results


def networks():
    pool = IPAMPool(subnet="10.77.0.0/16", iprange="10.77.5.0/24", gateway="10.77.5.254", aux_addresses={"host": "10.77.1.5"})
    network = client.networks.create("py", ipam=IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    container = client.containers.create("busybox", "true", name="addressed", network="py", networking_config={
        "py": EndpointConfig(api._version, ipv4_address="10.77.5.24", aliases=["other"])})
    container.start()
    container.wait()
    old = docker.APIClient(base_url=address, version="1.41")
    seen = old.inspect_container("addressed")["NetworkSettings"]["Networks"]["py"]
    found = [network.name for network in client.networks.list(filters={"label": "a=b"})]
    busy = refused(lambda: client.networks.create("other", ipam=IPAMConfig(pool_configs=[pool])))
    container.remove()
    network.remove()
    return seen["IPAMConfig"], [alias.replace(container.short_id, "SHORT ID") for alias in seen["Aliases"]], found, busy


def builds():
    recipe = b"FROM busybox\nARG X\nCOPY a /a\nRUN echo $X-$(cat /a)\nLABEL made=here\n"
    packed = io.BytesIO(gzip.compress(archive(Recipe=recipe, a=b"copied")))
    lines = list(api.build(fileobj=packed, custom_context=True, encoding="gzip", dockerfile="Recipe", tag="py:1",
                           buildargs={"X": "argument"}, decode=True, rm=True, forcerm=True))
    image, _ = client.images.build(fileobj=io.BytesIO(b"FROM py:1\nENV B=2\n"), rm=True)
    labels, said = image.labels, "".join(line.get("stream", "") for line in lines)
    client.images.remove(image.id)
    client.images.remove("py:1")
    return labels, "argument-copied\n" in said


def happenings():
    events = api.events(decode=True, filters={"type": "container", "label": ["seen"]})
    client.containers.run("busybox", "true", labels={"seen": "1"}, remove=True)
    actions = []
    for event in events:
        actions.append(event["Action"])
        if event["Action"] == "destroy":
            break
    events.close()
    return actions


result = {"ping": client.ping(), "settings": settings()}
web = client.containers.run("busybox", "sleep 600", detach=True, name="web")
result["exec"] = [execute(web, demux=True), execute(web, {"tty": True}, tty=True)]
result["typed"] = typed(web)
result["files"] = files(web)
result["top"] = [process[-1] for process in web.top()["Processes"]]
result["stats"] = sorted(web.stats(stream=False))[:3]
web.remove(force=True)
result["attached"] = attached()
result["logs"] = logs()
result["networks"] = networks()
result["builds"] = builds()
result["events"] = happenings()
result["failed"] = refused(lambda: client.containers.run("busybox", "nosuchprogram", name="unstartable"))
client.containers.get("unstartable").remove()
result["missing"] = refused(lambda: client.containers.get("nosuch"))
print(json.dumps(result))
