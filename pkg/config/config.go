// Package config reads a role's configuration from SPONGE_* variables and
// documents them from the same struct tags: env (name), envDefault, and doc
// (a sentence with unit and limits). A field whose tag holds `secret:"true"`
// is never shown. Any variable NAME may be given as NAME_FILE instead, the path
// of a file that holds the value: so secrets stay out of environments.
//
// It must not know any role.
package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Validator is a configuration that can say what is wrong with it: every
// fault in one error (errors.Join), each naming its variable.
type Validator interface{ Validate() error }

// Load reads T from the environment and validates it. The error lists every
// fault, one a line.
func Load[T any, P interface {
	*T
	Validator
}]() (T, error) {
	cfg, err := LoadFrom[T, P](env.ToMap(os.Environ()))
	if err != nil {
		return cfg, fmt.Errorf("configuration:\n%w (`sponge env` lists all variables)", err)
	}
	return cfg, nil
}

// LoadFrom is Load from other variables than the environment's, by name. It
// does not change vars.
func LoadFrom[T any, P interface {
	*T
	Validator
}](vars map[string]string) (T, error) {
	var cfg T
	vars, files := withFiles(vars, Variables(cfg))
	parse := env.ParseWithOptions(&cfg, env.Options{Environment: vars})
	if err := errors.Join(files, parse, P(&cfg).Validate()); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// FileSuffix ends the name of a variable that holds a file's path, in place of
// the value.
const FileSuffix = "_FILE"

// withFiles adds the values that vars names files for. A newline at the end of
// a file, with which editors end them, is not part of the value.
func withFiles(vars map[string]string, wanted []Variable) (map[string]string, error) {
	vars = maps.Clone(vars)
	var errs []error
	for _, v := range wanted {
		name := v.Name + FileSuffix
		path := vars[name]
		if path == "" {
			continue
		}
		if vars[v.Name] != "" {
			errs = append(errs, fmt.Errorf("%s and %s: only one of them can be given", v.Name, name))
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		vars[v.Name] = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	}
	return vars, errors.Join(errs...)
}

// Variable documents one variable.
type Variable struct {
	Name, Default, Doc string
	Secret             bool
}

// Variables lists the variables of a configuration struct, in its order. It panics
// where an embedded struct is not exported: nothing could be read into it.
func Variables(cfg any) []Variable {
	var out []Variable
	t := reflect.TypeOf(cfg)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			if !f.IsExported() {
				panic(fmt.Sprintf("config: %s embeds %s, which is not exported", t.Name(), f.Name))
			}
			out = append(out, Variables(reflect.Zero(f.Type).Interface())...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			continue
		}
		out = append(out, Variable{Name: name, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"), Secret: f.Tag.Get("secret") == "true"})
	}
	return out
}

// Positive is a fault unless d is above 0.
func Positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: %s is not above 0", name, d)
	}
	return nil
}

// Required is a fault where v is empty.
func Required(name, v string) error {
	if v == "" {
		return fmt.Errorf("%s: a value is needed", name)
	}
	return nil
}
