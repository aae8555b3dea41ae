# Every recipe but mysql9 is something that .ci/run calls, too.

# List the recipes.
default:
    @just --list

# Everything that must hold before a change lands.
ci:
    bash .ci/run

# Run a whole cluster on this machine.
up *ARGS:
    go run ./cmd/sponge up {{ARGS}}

# The tests, on private services.
test:
    go test -race -timeout 20m ./...

# The tests of the SQL on MySQL 9, from Debian's sid, which moves: best effort.
mysql9:
    SPONGE_TEST_STORE=mysql go test -count=1 -p 1 ./infra/... ./schema ./workers/...

# Format, vet and staticcheck.
lint:
    gofmt -l .
    go vet ./...
    go tool staticcheck ./...
