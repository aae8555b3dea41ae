package compose_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.yaml.in/yaml/v3"

	"sponge/edge"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/workers"
	"sponge/workers/group"
)

// catalogue is a registerer that only notes what a role would show.
type catalogue struct {
	mu sync.Mutex
	// mu guards the following.
	labels map[string][]string // by metric
}

var described = regexp.MustCompile(`^Desc\{fqName: "(\w+)", .*, variableLabels: \{([\w,]*)\}\}$`)

// Register implements prometheus.Registerer.
func (c *catalogue) Register(m prometheus.Collector) error {
	all := make(chan *prometheus.Desc)
	go func() {
		defer close(all)
		m.Describe(all)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range all {
		found := described.FindStringSubmatch(d.String())
		if found == nil {
			return fmt.Errorf("cannot be read: %s", d)
		}
		c.labels[found[1]] = strings.FieldsFunc(found[2], func(r rune) bool { return r == ',' })
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (c *catalogue) MustRegister(all ...prometheus.Collector) {
	for _, m := range all {
		if err := c.Register(m); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (c *catalogue) Unregister(prometheus.Collector) bool { return false }

// metrics are those of all roles, with their labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	c := &catalogue{labels: map[string][]string{}}
	c.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	text := keys.Generate()
	key, err := keys.ParseWorkerKey(text)
	if err != nil {
		t.Fatal(err)
	}
	cfg := loadConfig[edge.Config](t, "SPONGE_SEAL_KEY", key.Seal().String())
	if _, err := edge.New(cfg, edge.Deps{Metrics: c}); err != nil { // connects to nothing
		t.Fatal(err)
	}
	w, err := workers.New(loadConfig[workers.Config](t, "SPONGE_WORKER_KEY", text),
		map[protocol.Topic]workers.Factory{protocol.TopicGroup: group.New}, workers.Deps{Log: nothing(), Metrics: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return c.labels
}

// own matches the metrics that an expression asks for: Sponge's, and those of any
// Go program.
var own = regexp.MustCompile(`\b((?:sponge|process|go)_\w+)`)

// checkExpr finds metrics and labels that nobody has.
func checkExpr(t *testing.T, all map[string][]string, expr string) {
	t.Helper()
	names := own.FindAllString(expr, -1)
	if len(names) == 0 {
		t.Errorf("%s: asks for nothing of Sponge's", expr)
	}
	var labels []string
	for _, name := range names {
		base := strings.TrimSuffix(name, "_bucket")
		has, ok := all[base]
		if !ok || base != name && !strings.Contains(expr, "histogram_quantile") {
			t.Errorf("%s: no role has %s", expr, name)
		}
		labels = append(labels, has...)
	}
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(append(labels, "le", "instance", "job"), label) {
				t.Errorf("%s: no label %s", expr, label)
			}
		}
	}
}

// TestDashboard: what it shows exists.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var board struct {
		UID    string
		Panels []struct {
			ID         int
			Title      string
			Datasource struct{ UID string }
			Targets    []struct{ Expr string }
		}
	}
	readFile(t, json.Unmarshal, "grafana/dashboards/sponge.json", &board)
	all, ids := metrics(t), map[int]bool{}
	for _, p := range board.Panels {
		if p.Title == "" || p.Datasource.UID != "prometheus" || len(p.Targets) == 0 || ids[p.ID] {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkExpr(t, all, target.Expr)
		}
	}
	var source struct {
		Datasources []struct{ UID, URL string }
	}
	readFile(t, yaml.Unmarshal, "grafana/provisioning/datasources/prometheus.yml", &source)
	if len(source.Datasources) != 1 || source.Datasources[0].UID != "prometheus" || source.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("data sources: %+v", source)
	}
}

// TestPrometheus: it asks every role, where that answers, and alerts use what
// exists.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	var file struct {
		Rules []string `yaml:"rule_files"`
		Jobs  []struct {
			Name string `yaml:"job_name"`
			DNS  []struct {
				Names []string
				Type  string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	readFile(t, yaml.Unmarshal, "prometheus.yml", &file)
	project := load(t)
	var asked []string
	for _, job := range file.Jobs {
		for _, d := range job.DNS {
			asked = append(asked, d.Names...)
			if d.Type != "A" || d.Port != 9100 {
				t.Errorf("%s: %+v", job.Name, d)
			}
		}
	}
	for name, s := range project.Services {
		listens := isRole(&s) && !slices.Contains(once, name)
		if listens != slices.Contains(asked, name) || listens && *s.Environment["SPONGE_METRICS_LISTEN"] != ":9100" {
			t.Errorf("%s: asked %t, listens on %v", name, slices.Contains(asked, name), s.Environment["SPONGE_METRICS_LISTEN"])
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	readFile(t, yaml.Unmarshal, "alerts.yml", &alerts)
	all := metrics(t)
	for _, rule := range alerts.Groups[0].Rules {
		if !strings.HasPrefix(rule.Expr, "up{") {
			checkExpr(t, all, rule.Expr)
		}
	}
}

// readFile reads one of the files that the services get.
func readFile(t *testing.T, unmarshal func([]byte, any) error, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
