package config_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sponge/pkg/config"
)

type Common struct {
	Namespace string `env:"SPONGE_TEST_NAMESPACE" doc:"Prefix of every key."`
}

type settings struct {
	Common
	Brokers []string      `env:"SPONGE_TEST_BROKERS" envDefault:"a:1,b:2" doc:"Brokers."`
	Limit   int           `env:"SPONGE_TEST_LIMIT" envDefault:"5" doc:"Bytes, at least 1."`
	Wait    time.Duration `env:"SPONGE_TEST_WAIT" envDefault:"2s" doc:"Time to wait, above 0."`
	Key     string        `env:"SPONGE_TEST_KEY,unset" secret:"true" doc:"The key; required."`
	Loaded  bool          // no variable
}

func (s *settings) Validate() error {
	errs := []error{config.Required("SPONGE_TEST_KEY", s.Key), config.Positive("SPONGE_TEST_WAIT", s.Wait)}
	if s.Limit < 1 {
		errs = append(errs, fmt.Errorf("SPONGE_TEST_LIMIT: %d is below 1", s.Limit))
	}
	return errors.Join(errs...)
}

func TestDefaults(t *testing.T) {
	t.Setenv("SPONGE_TEST_KEY", "k")
	got, err := config.Load[settings]()
	if err != nil {
		t.Fatal(err)
	}
	want := settings{Brokers: []string{"a:1", "b:2"}, Limit: 5, Wait: 2 * time.Second, Key: "k"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestVariablesWin(t *testing.T) {
	t.Setenv("SPONGE_TEST_KEY", "k")
	t.Setenv("SPONGE_TEST_NAMESPACE", "x.")
	t.Setenv("SPONGE_TEST_BROKERS", "c:3")
	t.Setenv("SPONGE_TEST_LIMIT", "7")
	t.Setenv("SPONGE_TEST_WAIT", "150ms")
	got, err := config.Load[settings]()
	if err != nil {
		t.Fatal(err)
	}
	want := settings{Common{"x."}, []string{"c:3"}, 7, 150 * time.Millisecond, "k", false}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryFaultIsTold(t *testing.T) {
	t.Setenv("SPONGE_TEST_LIMIT", "0")
	t.Setenv("SPONGE_TEST_WAIT", "-1s")
	_, err := config.Load[settings]()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"SPONGE_TEST_KEY: a value is needed", "SPONGE_TEST_WAIT: -1s is not above 0", "SPONGE_TEST_LIMIT: 0 is below 1", "sponge env",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not hold %q", err, want)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Setenv("SPONGE_TEST_KEY", "k")
	t.Setenv("SPONGE_TEST_LIMIT", "many")
	t.Setenv("SPONGE_TEST_WAIT", "soon")
	_, err := config.Load[settings]()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Limit", "Wait"} { // the library names fields
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

// TestFiles: what a file holds counts as if it were the variable's value.
func TestFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(" a key \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"SPONGE_TEST_KEY_FILE": file, "SPONGE_TEST_KEY": "", "SPONGE_TEST_LIMIT_FILE": ""}
	before := maps.Clone(vars)
	got, err := config.LoadFrom[settings](vars)
	if err != nil || got.Key != " a key " || got.Limit != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if !maps.Equal(vars, before) {
		t.Errorf("changed what it was given: %v", vars)
	}
	vars["SPONGE_TEST_KEY"] = "another"
	vars["SPONGE_TEST_LIMIT_FILE"] = file + ".gone"
	_, err = config.LoadFrom[settings](vars)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"SPONGE_TEST_KEY and SPONGE_TEST_KEY_FILE: only one", "SPONGE_TEST_LIMIT_FILE: open "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not hold %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "another") {
		t.Errorf("the error tells the secret: %v", err)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	want := []config.Variable{
		{"SPONGE_TEST_NAMESPACE", "", "Prefix of every key.", false},
		{"SPONGE_TEST_BROKERS", "a:1,b:2", "Brokers.", false},
		{"SPONGE_TEST_LIMIT", "5", "Bytes, at least 1.", false},
		{"SPONGE_TEST_WAIT", "2s", "Time to wait, above 0.", false},
		{"SPONGE_TEST_KEY", "", "The key; required.", true},
	}
	if got := config.Variables(settings{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

type hidden struct {
	Key string `env:"SPONGE_TEST_KEY"`
}

type hiding struct{ hidden }

// What is embedded and not exported would silently stay empty.
func TestEmbeddedStructsAreExported(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	config.Variables(hiding{})
}
