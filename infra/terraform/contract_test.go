// Package terraform tests that the Terraform in this folder and the binary mean
// the same: variables, ports, topics, commands and the health path. check.sh
// has terraform itself check the rest.
package terraform

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sponge/edge"
	"sponge/pkg/config"
	"sponge/pkg/protocol"
	"sponge/pkg/telemetry"
	"sponge/workers"
)

// sources are the .tf files that are ours, by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".terraform" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".tf") {
			return nil
		}
		text, err := os.ReadFile(path)
		files[filepath.ToSlash(path)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d files of Terraform", len(files))
	}
	return files
}

var (
	opening    = regexp.MustCompile(`^\s*([\w-]+)\s*=.*\{$`)
	assignment = regexp.MustCompile(`^\s*([\w-]+)\s*=\s*(.+)$`)
)

// contract reads the maps of contract.tf: each value by the path of its key,
// such as environment/edge/SPONGE_EDGE_LISTEN. The file has a key a line.
func contract(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("contract.tf")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	var path []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), " # ")
		line = strings.TrimRight(line, " ")
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "#"):
		case trimmed == "locals {":
			path = []string{}
		case trimmed == "}":
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		case opening.MatchString(line):
			path = append(path, opening.FindStringSubmatch(line)[1])
		default:
			if m := assignment.FindStringSubmatch(line); m != nil {
				values[strings.Join(append(slices.Clone(path), m[1]), "/")] = m[2]
			}
		}
	}
	return values
}

// below lists the keys right below a path.
func below(values map[string]string, path string) []string {
	var keys []string
	for key := range values {
		if rest, ok := strings.CutPrefix(key, path+"/"); ok && !strings.Contains(rest, "/") {
			keys = append(keys, rest)
		}
	}
	slices.Sort(keys)
	return keys
}

func names(cfg any) []string {
	var out []string
	for _, v := range config.Variables(cfg) {
		out = append(out, v.Name)
	}
	return out
}

// program builds the binary once for all tests that ask it.
func program(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sponge")
	if out, err := exec.Command("go", "build", "-o", bin, "sponge/cmd/sponge").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

var variable = regexp.MustCompile(`\bSPONGE_[A-Z0-9_]*[A-Z0-9]\b`)

// known are the variables that `sponge env` prints, with their defaults.
func known(t *testing.T, bin string) map[string]string {
	t.Helper()
	out, err := exec.Command(bin, "env").Output()
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && variable.MatchString(name) && !strings.HasPrefix(line, "#") {
			vars[name] = value
		}
	}
	if len(vars) < 20 {
		t.Fatalf("sponge env printed only %d variables", len(vars))
	}
	return vars
}

func TestEveryVariableIsOneOfTheBinarysOrPending(t *testing.T) {
	vars := known(t, program(t))
	values := contract(t)
	pending := map[string]bool{}
	for key := range values {
		if name := key[strings.LastIndex(key, "/")+1:]; strings.HasPrefix(key, "pending/") || strings.HasPrefix(key, "kafka_secrets/") {
			pending[name] = true
		}
	}
	for name := range pending {
		if _, ok := vars[name]; ok && variable.MatchString(name) {
			t.Errorf("the binary knows %s now: move it out of local.pending of contract.tf", name)
		}
	}
	for file, text := range sources(t) {
		for _, name := range variable.FindAllString(text, -1) {
			if _, ok := vars[name]; !ok && !pending[name] {
				t.Errorf("%s names %s, which `sponge env` does not print and contract.tf does not have as pending", file, name)
			}
		}
	}
}

func TestEachRoleIsGivenItsOwnVariables(t *testing.T) {
	values := contract(t)
	all := slices.Concat(names(edge.Config{}), names(workers.Config{}), names(telemetry.Config{}))
	for name := range known(t, program(t)) {
		all = append(all, name)
	}
	for path, allowed := range map[string][]string{
		"environment/edge": names(edge.Config{}), "environment/worker": names(workers.Config{}), "environment/telemetry": names(telemetry.Config{}),
		"environment/migrate": all, "environment/audit": all,
		"secrets/edge": names(edge.Config{}), "secrets/worker": names(workers.Config{}), "secrets/migrate": all, "secrets/audit": all,
	} {
		for _, name := range below(values, path) {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s gives %s, which the role does not read", path, name)
			}
		}
	}
	for _, name := range below(values, "environment/common") {
		if !slices.Contains(names(edge.Config{}), name) || !slices.Contains(names(workers.Config{}), name) {
			t.Errorf("environment/common gives %s, which not every role reads", name)
		}
	}
	if len(below(values, "environment/edge")) == 0 || len(below(values, "secrets/worker")) == 0 {
		t.Fatal("contract.tf was not understood")
	}
}

func TestWhatIsSecretComesFromSecrets(t *testing.T) {
	values := contract(t)
	for role, cfg := range map[string]any{"edge": edge.Config{}, "worker": workers.Config{}} {
		given := below(values, "secrets/"+role)
		for _, v := range config.Variables(cfg) {
			if v.Secret && !slices.Contains(given, v.Name) {
				t.Errorf("secrets/%s lacks %s", role, v.Name)
			}
			for _, path := range []string{"environment/common", "environment/" + role} {
				if v.Secret && slices.Contains(below(values, path), v.Name) {
					t.Errorf("%s shows %s, which is secret", path, v.Name)
				}
			}
		}
	}
	if slices.Contains(below(values, "secrets/edge"), "SPONGE_WORKER_KEY") || slices.Contains(below(values, "secrets/edge"), "SPONGE_MYSQL") {
		t.Error("an edge is given what only workers may have")
	}
}

// The role's own validation takes what Terraform gives it.
func TestEdgeTakesItsVariables(t *testing.T) {
	values := contract(t)
	port := regexp.MustCompile(`\$\{local\.ports\.(\w+)\}`)
	for _, path := range []string{"environment/common", "environment/telemetry", "environment/edge"} {
		for _, name := range below(values, path) {
			value := values[path+"/"+name]
			if !strings.HasPrefix(value, `"`) {
				continue // an expression
			}
			value = port.ReplaceAllStringFunc(strings.Trim(value, `"`), func(s string) string {
				return values["ports/"+port.FindStringSubmatch(s)[1]]
			})
			t.Setenv(name, strings.ReplaceAll(value, "${var.edge.drain_timeout}", "15"))
		}
	}
	t.Setenv("SPONGE_REDIS", "rediss://:token@host:6379/0")
	t.Setenv("SPONGE_SEAL_KEY", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=") // as in the tests of Terraform
	cfg, err := config.Load[edge.Config]()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{":8000"}; !slices.Equal(cfg.Listen, want) || cfg.WebListen != ":8080" || cfg.MetricsListen == "" {
		t.Errorf("listens on %q, %q and %q", cfg.Listen, cfg.WebListen, cfg.MetricsListen)
	}
	if _, err := config.Load[telemetry.Config](); err != nil {
		t.Fatal(err)
	}
}

func TestTopicsAndGroups(t *testing.T) {
	values := contract(t)
	var groups []string
	for topic := range protocol.NumTopics {
		groups = append(groups, topic.Group())
		if got, want := values["topics/"+topic.Group()], `"${var.namespace}`+topic.Name()+`"`; got != want {
			t.Errorf("topic of %s is %s, want %s", topic.Group(), got, want)
		}
		if values["partitions/"+topic.Group()] == "" {
			t.Errorf("no partitions for %s", topic.Group())
		}
	}
	if got, want := values["groups"], `["`+strings.Join(groups, `", "`)+`"]`; got != want {
		t.Errorf("groups are %s, want %s", got, want)
	}
	if len(below(values, "topics")) != len(groups) {
		t.Errorf("topics: %q", below(values, "topics"))
	}
}

func TestDefaultsAreTheBinarys(t *testing.T) {
	vars := known(t, program(t))
	text := sources(t)["variables.tf"]
	for _, want := range []string{
		"default     = { storage = " + vars["SPONGE_PARTITIONS_STORAGE"] + ", other = " + vars["SPONGE_PARTITIONS"] + " }",
		"batch_size  = optional(number, " + vars["SPONGE_WORKER_BATCH"] + ")",
		"drain_timeout        = optional(number, " + strings.TrimSuffix(vars["SPONGE_EDGE_DRAIN_TIMEOUT"], "s") + ")",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("variables.tf lacks %q", want)
		}
	}
}

// The path that the balancer asks answers 503 until the role is ready, then 200.
func TestHealthPath(t *testing.T) {
	path := strings.Trim(contract(t)["health_path"], `"`)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := telemetry.Config{MetricsListen: free.Addr().String()}
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- cfg.Serve(ctx, telemetry.NewRegistry(), ready, nil) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	ask := func(want int) {
		t.Helper()
		var got int
		for deadline := time.Now().Add(10 * time.Second); got != want && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			res, err := http.Get("http://" + cfg.MetricsListen + path)
			if err != nil {
				continue // not listening yet
			}
			res.Body.Close()
			got = res.StatusCode
		}
		if got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	ask(http.StatusServiceUnavailable)
	close(ready)
	ask(http.StatusOK)
}

// Commands that tasks run are commands of the binary; those that contract.tf
// has as pending are not yet.
func TestCommands(t *testing.T) {
	bin := program(t)
	exists := func(args ...string) bool {
		out, err := exec.Command(bin, append(args, "--help")...).CombinedOutput()
		return err == nil && !bytes.Contains(out, []byte("unexpected argument")) && bytes.Contains(out, []byte("Usage: sponge "+strings.Join(args, " ")))
	}
	for _, args := range [][]string{{"edge"}, {"worker"}, {"migrate"}, {"health"}, {"audit", "archive"}} {
		if !exists(args...) {
			t.Errorf("the binary has no command %q", args)
		}
	}
	for _, args := range [][]string{{"function"}} {
		if exists(args...) {
			t.Errorf("the binary has %q now: contract.tf need not call it pending; move it up in this test", args)
		}
	}
}

// Every variable of a module says what it is; those that people set say what
// they refuse, and a test tries it.
func TestVariablesAreDescribedAndRefusalsTested(t *testing.T) {
	block := regexp.MustCompile(`(?ms)^variable "(\w+)" \{\n(.*?)^\}`)
	refused := regexp.MustCompile(`(?s)expect_failures = \[(.*?)\]`)
	for file, text := range sources(t) {
		if filepath.Base(file) != "variables.tf" {
			continue
		}
		folder := filepath.Dir(file)
		var tests strings.Builder
		paths, err := filepath.Glob(filepath.Join(folder, "tests", "*.tftest.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			name, body := m[1], m[2]
			if !strings.Contains(body, "\n  description = ") && !strings.HasPrefix(body, "  description = ") {
				t.Errorf("%s: %s has no description", file, name)
			}
			if !regexp.MustCompile(`(?m)^  type +=`).MatchString(body) {
				t.Errorf("%s: %s has no type", file, name)
			}
			validations := strings.Count(body, "\n  validation {")
			isBool := regexp.MustCompile(`(?m)^  type +=\s+bool$`).MatchString(body)
			if !strings.HasPrefix(folder, "modules") && validations == 0 && !isBool {
				t.Errorf("%s: %s refuses nothing", file, name)
			}
			tried := 0
			for _, m := range refused.FindAllStringSubmatch(tests.String(), -1) {
				if regexp.MustCompile(`var\.` + name + `\b`).MatchString(m[1]) {
					tried++
				}
			}
			if tried < validations {
				t.Errorf("%s: %s has %d validations, and tests of %d", file, name, validations, tried)
			}
		}
	}
}

func TestCheckovExceptionsAreExplained(t *testing.T) {
	skip := regexp.MustCompile(`checkov:skip=(\w*)(:?)(.*)`)
	for file, text := range sources(t) {
		for _, m := range skip.FindAllStringSubmatch(text, -1) {
			if m[1] == "" || m[2] == "" || len(strings.Fields(m[3])) < 4 {
				t.Errorf("%s: %q gives no reason", file, m[0])
			}
		}
	}
}

// The stub's schema is of the provider that the modules ask for.
func TestProviderVersion(t *testing.T) {
	raw, err := os.ReadFile("stub/aws-subset.json")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`"provider_version":"(\d+)\.`).FindSubmatch(raw)
	if m == nil {
		t.Fatal("stub/aws-subset.json names no version")
	}
	major, _ := strconv.Atoi(string(m[1]))
	want := `version = ">= ` + strconv.Itoa(major) + `.0, < ` + strconv.Itoa(major+1) + `.0"`
	for file, text := range sources(t) {
		if filepath.Base(file) == "versions.tf" && !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", file, want)
		}
	}
}
