# The one image of all roles: a static binary, and the certificates that it
# checks others' by. It has no shell, no libraries and nothing to write to.
#
#     docker build --build-arg VERSION="$(git describe --always --dirty)" -t sponge .
#
# The same commit gives the same binary: see docs/deploy.md.

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
# Modules first: they change less often than the rest.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=dev
ENV CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION" -o /out/sponge ./cmd/sponge

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="Sponge" \
      org.opencontainers.image.description="A clustered chat backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/LICENSE /src/docs/licences.md /licences/
COPY --from=build /out/sponge /sponge
# A number, so that an orchestrator can tell that it is not root.
USER 65532:65532
# Health is asked for there. Who wants metrics from outside opens it.
ENV SPONGE_METRICS_LISTEN=127.0.0.1:9100 SPONGE_LOG_FORMAT=json
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/sponge", "health"]
ENTRYPOINT ["/sponge"]
