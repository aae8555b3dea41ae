#!/usr/bin/env bash
# Checks the Terraform without an account and without the real provider: format;
# then, for each module and example, init, validate and test against the
# schema in stub/; then checkov. It needs go, terraform (1.11 or later) and
# checkov (pip install checkov), writes nothing here, and fails if one is missing.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s (%ds)\n' "$*" "$SECONDS"; }

for command in go terraform checkov; do
	command -v "$command" >/dev/null || { echo "check.sh: $command is missing" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step format
terraform fmt -check -recursive -diff .

step "stub provider"
schema=stub/aws-subset.json
version=$(sed -n 's/.*"provider_version":"\([0-9.]*\)".*/\1/p' "$schema")
folder=$work/mirror/registry.terraform.io/hashicorp/aws/$version/$(go env GOOS)_$(go env GOARCH)
mkdir -p "$folder"
(cd stub && go vet . && CGO_ENABLED=0 go build -trimpath -o "$folder/terraform-provider-aws_v$version" .)
cat >"$work/terraformrc" <<EOF
disable_checkpoint = true
provider_installation {
  filesystem_mirror { path = "$work/mirror" }
}
EOF
export TF_CLI_CONFIG_FILE=$work/terraformrc TF_IN_AUTOMATION=1 TF_INPUT=0
unset TF_WORKSPACE TF_DATA_DIR "${!TF_VAR_@}" "${!TF_CLI_ARGS@}"

# A copy, so that no lock file of the stub is left beside real ones.
mkdir "$work/terraform"
tar -c --exclude .terraform --exclude .terraform.lock.hcl --exclude '*.tfstate*' --exclude ./stub . | tar -x -C "$work/terraform"
cd "$work/terraform"

# check FOLDER: its findings on standard output.
check() {
	local log
	log=$(mktemp -p "$work")
	{
		echo "-- $1"
		terraform -chdir="$1" init -backend=false -no-color >"$log" || { cat "$log"; return 1; }
		terraform -chdir="$1" validate -no-color >"$log" || { cat "$log"; return 1; }
		if compgen -G "$1/tests/*.tftest.hcl" >/dev/null; then
			terraform -chdir="$1" test -no-color >"$log" || { cat "$log"; return 1; }
			tail -n 1 "$log"
		fi
	} 2>&1
}
export -f check
export work

step "init, validate and test of the module, its parts and the examples"
printf '%s\0' . examples/* modules/* | xargs -0 -n 1 -P "${CHECK_JOBS:-$(nproc)}" bash -c 'out=$(check "$1"); code=$?; echo "$out"; exit $code' check

step "the broker's script is one that bash can read"
echo 'templatefile("setup.sh.tftpl", { kafka_version = "4.1.1", private_ip = "10.0.0.10", port = 9092, volume = "vol0", heap_mib = 768 })' |
	terraform -chdir=modules/broker console -no-color | sed -n '/^<<-*EOT$/,/^EOT$/p' | sed '1d;$d' >"$work/setup.sh"
grep -q 'systemctl enable --now kafka' "$work/setup.sh"
bash -n "$work/setup.sh"

step checkov
find . -name .terraform -prune -exec rm -rf {} +
# Exit code 1 for findings; what it could not read it only mentions.
checkov -d . --framework terraform --compact --quiet --skip-download | tee "$work/log"
if grep -q 'Parsing errors: [1-9]' "$work/log"; then
	echo "check.sh: checkov could not read some files" >&2
	exit 1
fi

step done
