package compose_test

import (
	"cmp"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"sponge/edge"
	"sponge/infra/local"
	"sponge/pkg/config"
)

// once are the services that end by themselves.
var once = []string{"migrate", "secrets"}

// isRole tells whether a service runs the program.
func isRole(s *types.ServiceConfig) bool { return strings.HasPrefix(s.Image, "sponge:") }

// TestServices holds every service against what all of them need.
func TestServices(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`:v?\d+\.\d+\.\d+(-[a-z]+)?$`)
	for name, s := range load(t).Services {
		fault := func(format string, args ...any) {
			t.Helper()
			t.Errorf(name+": "+format, args...)
		}
		ends := slices.Contains(once, name)
		if !isRole(&s) && !pinned.MatchString(s.Image) {
			fault("image %s has no whole version", s.Image)
		}
		if want := cmp.Or(map[bool]string{true: "no"}[ends], types.RestartPolicyUnlessStopped); s.Restart != want {
			fault("restart %q, want %q", s.Restart, want)
		}
		if ends != (s.HealthCheck != nil && s.HealthCheck.Disable) || !ends && len(s.HealthCheck.Test) < 2 {
			fault("health check: %+v", s.HealthCheck)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes <= 0 {
			fault("no limit of memory")
		}
		if s.ContainerName != "" || s.Privileged || s.Ipc != "" || s.Pid != "" {
			fault("container_name %q, privileged %t, ipc %q, pid %q", s.ContainerName, s.Privileged, s.Ipc, s.Pid)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			fault("may gain privileges")
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" {
			fault("its log has no bound")
		}
		if !ends && s.StopGracePeriod == nil {
			fault("no stop_grace_period")
		}
		if isRole(&s) && (!s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || s.User != "" || s.Build == nil || s.PullPolicy != types.PullPolicyNever) {
			fault("a role is built here, without rights, and as the image's own user: %+v", s)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && name != "secrets" {
				fault("mounts %s of the host", v.Source)
			}
		}
		limit := s.Environment["GOMEMLIMIT"]
		if isRole(&s) && !ends && (limit == nil || *limit == "") {
			fault("Go is not told how much memory there is")
		}
	}
}

// TestPorts: one port is for clients, and nothing can be reached from other
// machines unless somebody says so.
func TestPorts(t *testing.T) {
	t.Parallel()
	want := map[string][]string{"haproxy": {"8000"}, "mysql": {"3306"}, "redis": {"6379"}, "prometheus": {"9090"}, "grafana": {"3000"}}
	for name, s := range load(t).Services {
		var got []string
		for _, p := range s.Ports {
			got = append(got, p.Published)
			if ip, err := netip.ParseAddr(p.HostIP); err != nil || !ip.IsLoopback() {
				t.Errorf("%s publishes %s on %q", name, p.Published, p.HostIP)
			}
		}
		if !slices.Equal(got, want[name]) {
			t.Errorf("%s publishes %v, want %v", name, got, want[name])
		}
	}
	for name, s := range load(t, "SPONGE_BIND=0.0.0.0").Services {
		for _, p := range s.Ports {
			if open := p.HostIP == "0.0.0.0"; open != (name == "haproxy") {
				t.Errorf("with SPONGE_BIND, %s publishes %s on %s", name, p.Published, p.HostIP)
			}
		}
	}
}

// variables are what sponge env lists.
func variables(t *testing.T) (names map[string]bool, secret map[string]bool) {
	t.Helper()
	text, err := output(t.Context(), root, nil, sponge(t), "env")
	if err != nil {
		t.Fatal(err)
	}
	names, secret = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text) {
		if name, _, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "SPONGE_") {
			names[name] = true
		}
		if m := regexp.MustCompile(`^# or, .* (SPONGE_\w+)` + config.FileSuffix + `=$`).FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			secret[m[1]] = true
		}
	}
	return names, secret
}

// TestVariables: the roles are given what they know, and secrets in files.
func TestVariables(t *testing.T) {
	t.Parallel()
	project := load(t)
	known, secret := variables(t)
	if len(known) < 30 || !secret["SPONGE_WORKER_KEY"] || !secret["SPONGE_MYSQL"] || !secret["SPONGE_REDIS"] {
		t.Fatalf("sponge env lists %v, of which are secrets %v", known, secret)
	}
	for name, s := range project.Services {
		for variable, value := range s.Environment {
			base, file := strings.CutSuffix(variable, config.FileSuffix)
			switch {
			case value == nil:
				t.Errorf("%s takes %s from the shell", name, variable)
			case isRole(&s) && variable != "GOMEMLIMIT" && !known[base]:
				t.Errorf("%s is given %s, which sponge env does not list", name, variable)
			case secret[variable]:
				t.Errorf("%s is given the secret %s as it is", name, variable)
			case file && !slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return *value == "/run/secrets/"+c.Source }):
				t.Errorf("%s looks for %s in %s, and has %v", name, variable, *value, s.Secrets)
			case !file && regexp.MustCompile(`(?i)pass|secret|token`).MatchString(variable):
				t.Errorf("%s is given %s as it is", name, variable)
			}
		}
	}
}

// TestSecretFiles: sponge secrets makes every file that compose.yml hands on, and
// no other.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made")
	if err := run(t.Context(), root, nil, sponge(t), "secrets", dir); err != nil {
		t.Fatal(err)
	}
	project := load(t)
	var want []string
	used := map[string]bool{}
	for _, s := range project.Services {
		for _, c := range s.Secrets {
			used[c.Source] = true
		}
	}
	for name, s := range project.Secrets {
		if want = append(want, name); filepath.Base(s.File) != name || filepath.Base(filepath.Dir(s.File)) != "secrets" || !used[name] {
			t.Errorf("secret %s is in %s, used: %t", name, s.File, used[name])
		}
	}
	slices.Sort(want)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if got = append(got, e.Name()); !e.Type().IsRegular() {
			t.Errorf("%s is no file", e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("sponge secrets makes %v, compose.yml hands on %v", got, want)
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil || !strings.Contains(string(ignored), "/secrets/\n") {
		t.Errorf("secrets could be committed: %s, %v", ignored, err)
	}
	for name, c := range project.Configs {
		if info, err := os.Stat(c.File); err != nil || info.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("config %s: %v, %v", name, info, err)
		}
	}
}

// TestOrder: who waits for whom.
func TestOrder(t *testing.T) {
	t.Parallel()
	const healthy, completed = types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully
	worker := map[string]string{"migrate": completed, "kafka": healthy, "redis": healthy, "mysql": healthy}
	want := map[string]map[string]string{
		"worker-login": worker, "worker-friend": worker, "worker-group": worker, "worker-storage": worker,
		"migrate": {"kafka": healthy, "mysql": healthy},
		"edge": {"migrate": completed, "kafka": healthy, "redis": healthy, "worker-login": healthy, "worker-friend": healthy,
			"worker-group": healthy, "worker-storage": healthy},
		"haproxy": {}, // it would be stopped before the edges, and cut what they drain
		"grafana": {"prometheus": healthy},
	}
	for name, s := range load(t).Services {
		for other, d := range s.DependsOn {
			if want[name][other] != d.Condition || d.Restart {
				t.Errorf("%s waits for %s: %+v", name, other, d)
			}
		}
		if len(s.DependsOn) != len(want[name]) {
			t.Errorf("%s waits for %v, want %v", name, s.DependsOn, want[name])
		}
	}
}

// TestScaling: edges and workers can be any number, three edges unless told, and
// what stops has the time that it needs.
func TestScaling(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, s := range project.Services {
		if !isRole(&s) {
			continue
		}
		if replicas := s.GetScale(); replicas != cmp.Or(map[string]int{"edge": 3}[name], 1) {
			t.Errorf("%d of %s", replicas, name)
		}
		if len(s.Ports) > 0 || s.Hostname != "" || s.Environment["SPONGE_EDGE_NODE"] != nil {
			t.Errorf("%s can run only once: ports %v, hostname %q, node %v", name, s.Ports, s.Hostname, s.Environment["SPONGE_EDGE_NODE"])
		}
	}
	e := project.Services["edge"]
	drain, err := time.ParseDuration(*e.Environment["SPONGE_EDGE_DRAIN_TIMEOUT"])
	if err != nil {
		t.Fatal(err)
	}
	// What follows: lingering sockets, the last reports and the producer.
	const after = 10 * time.Second
	grace := time.Duration(*e.StopGracePeriod)
	if grace < drain+after {
		t.Errorf("an edge is killed after %s, and drains for %s", grace, drain)
	}
	text, err := os.ReadFile("haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`hard-stop-after (\w+)\n`).FindSubmatch(text)
	hard, err := time.ParseDuration(string(m[1]))
	balancer := project.Services["haproxy"]
	if err != nil || hard < grace || time.Duration(*balancer.StopGracePeriod) <= hard || balancer.StopSignal != "SIGUSR1" {
		t.Errorf("the balancer: %v, %s after %s, stopped by %q in %s", err, hard, grace, balancer.StopSignal, *balancer.StopGracePeriod)
	}
	for _, line := range []string{"timeout client 7d\n", "timeout server 7d\n"} {
		defaults, err := os.ReadFile(root + "/infra/balancer/defaults.cfg")
		if err != nil || !strings.Contains(string(defaults), line) {
			t.Errorf("the balancer's defaults lack %q: %v", line, err)
		}
	}
	if cfg, err := config.LoadFrom[edge.Config](map[string]string{"SPONGE_SEAL_KEY": strings.Repeat("A", 43) + "="}); err != nil || cfg.IdleTimeout >= 7*24*time.Hour {
		t.Errorf("edges close silent connections after %s: %v", cfg.IdleTimeout, err)
	}
}

// TestBalancerFile has HAProxy read the files as they are.
func TestBalancerFile(t *testing.T) {
	t.Parallel()
	command, err := local.HAProxy(t.Context(), local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	project := load(t)
	args := []string{"-c"}
	for _, c := range project.Services["haproxy"].Configs {
		args = append(args, "-f", project.Configs[c.Source].File)
	}
	if text, err := command(args...).CombinedOutput(); err != nil || strings.Contains(string(text), "WARNING") {
		t.Errorf("%v:\n%s", err, text)
	}
}

// TestNetworks: what must not be reached is not on the same network.
func TestNetworks(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"haproxy": {"front"}, "edge": {"front", "inside"}, "migrate": {"inside", "store"},
		"worker-login": {"inside", "store"}, "worker-friend": {"inside", "store"}, "worker-group": {"inside", "store"}, "worker-storage": {"inside", "store"},
		"kafka": {"inside"}, "redis": {"inside"}, "mysql": {"store"},
		"prometheus": {"front", "inside", "observe"}, "grafana": {"observe"}, "secrets": nil,
	}
	for name, s := range load(t).Services {
		var got []string
		for n := range s.Networks {
			got = append(got, n)
		}
		if slices.Sort(got); !slices.Equal(got, want[name]) {
			t.Errorf("%s is on %v, want %v", name, got, want[name])
		}
	}
}
