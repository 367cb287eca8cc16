# The program with librados and corosync's client libraries, as on a Proxmox VE node.
#   docker build -t quorate .
#   docker run --rm quorate --help
# On a node it needs the host's network namespace and /dev/shm (corosync's sockets are abstract and
# its buffers lie there), /etc/corosync and /etc/ceph, and group 0 to be let in by corosync:
#   docker run --network=host --ipc=host --user 65532:0 \
#     -v /etc/corosync:/etc/corosync:ro -v /etc/ceph:/etc/ceph:ro quorate
FROM golang:1.26-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      librados-dev libcmap-dev libquorum-dev libvotequorum-dev libcorosync-common-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN go build -trimpath -ldflags "-s -w -X github.com/prometheus/common/version.Version=${VERSION}" -o /quorate ./cmd/quorate

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      librados2 libcmap4 libquorum5 libvotequorum8 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /quorate /usr/bin/quorate
USER 65532:65532
EXPOSE 9921/tcp 9921/udp
ENTRYPOINT ["/usr/bin/quorate"]
CMD ["serve"]
