# Every recipe but mysql9, faults, bench, measure and plots is something that .ci/run calls, too.

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

# Every fault once, on real services.
faults-short:
    go test -tags faults -count=1 -short -parallel 2 -timeout 15m -run 'TestFaults|TestDisk|TestTopic|TestStore' ./e2e/faults

# Every fault ten times, then the builds that lack a safeguard: an hour. TABLE gets the results.
faults TABLE="faults.md":
    go test -tags faults -count=1 -v -parallel 2 -timeout 2h -run 'TestClock|TestFaults|TestDisk|TestTopic|TestStore' ./e2e/faults -args -rounds 10 -table {{absolute_path(TABLE)}}
    go test -tags faults -count=1 -v -timeout 30m -run 'TestMutants$' ./e2e/faults -args -rounds 3 -table {{absolute_path(TABLE)}}.mutants

# Every case of the measuring stand on real services, against another COMMIT in turn, with ratios: over an hour.
bench COMMIT *ARGS:
    go run ./e2e/measure -against {{COMMIT}} {{ARGS}}

# Every case of the measuring stand for this tree alone: half an hour. -h lists the options, as -cases and -runs.
measure *ARGS:
    go run ./e2e/measure {{ARGS}}

# The plots of docs, from what measure -json has written to FILE.
plots FILE:
    go run ./e2e/measure -from {{FILE}} -plot docs

# The Terraform: format, validate and test against the provider's schema, checkov.
terraform:
    bash infra/terraform/check.sh

# The tests of the SQL on MySQL 9, from Debian's sid, which moves: best effort.
mysql9:
    SPONGE_TEST_STORE=mysql go test -count=1 -p 1 ./infra/... ./schema ./workers/...

# Format, vet and staticcheck.
lint:
    gofmt -l .
    go vet ./...
    go tool staticcheck ./...
