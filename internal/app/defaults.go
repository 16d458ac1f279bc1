package app

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"fairway/internal/compile"
	"fairway/internal/confload"
	"fairway/internal/engine/errorpage"
	"fairway/internal/route"
)

// HeaderLine is a header in the form "NAME: VALUE".
type HeaderLine struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// UnmarshalText reads the text form.
func (h *HeaderLine) UnmarshalText(text []byte) error {
	name, value, ok := strings.Cut(string(text), ":")
	h.Name, h.Value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || h.Name == "" {
		return errors.New("write NAME: VALUE, in quotes")
	}
	return nil
}

// String returns the text form.
func (h HeaderLine) String() string { return h.Name + ": " + h.Value }

// compiledDefaults reads the defaults for routes. Of the faults each has its key.
func (c *Config) compiledDefaults() (*compile.Defaults, confload.Faults) {
	var list []compile.Default
	for _, f := range confload.Fields(&c.Defaults, "") {
		switch p := f.Pointer.(type) {
		case *string:
			if *p != "" {
				list = append(list, compile.Default{Key: f.Name, Value: *p})
			}
		case *[]HeaderLine:
			for _, h := range *p {
				list = append(list, compile.Default{Key: f.Name + "." + h.Name, Value: h.Value})
			}
		case *[]string:
			if f.Name != "locked" && len(*p) > 0 {
				list = append(list, compile.Default{Key: f.Name, Value: strings.Join(*p, ",")})
			}
		default:
			panic(fmt.Sprintf("defaults: %s is a %v", f.Name, reflect.TypeOf(p)))
		}
	}
	all, found := compile.NewDefaults(list, c.Defaults.Locked, append([]string{}, c.LabelFiles...))
	var faults confload.Faults
	for _, fault := range found {
		key := fault.Key
		for _, f := range confload.Fields(&c.Defaults, "") {
			if strings.HasPrefix(key, f.Name+".") {
				key = f.Name
			}
		}
		faults = append(faults, confload.Fault{Key: "defaults." + key, Reason: fault.Reason})
	}
	return all, faults
}

func (v *validation) defaults() {
	_, faults := v.compiledDefaults()
	v.faults = append(v.faults, faults...)
	if v.Defaults.RedirectHTTPS == "true" && v.ListenTLS == Off && len(v.TrustedProxies) == 0 {
		v.add("defaults.redirect-https", "true", "nothing listens for https: set tls.certificates, or name the proxies in front that have TLS in trusted-proxies")
	}
}

// maskedHeader hides the value of a header that may hold a credential.
func maskedHeader(h HeaderLine) HeaderLine {
	if route.Credential(h.Name) {
		h.Value = route.Masked
	}
	return h
}

// maskedRequestHeader hides the value of every header: services may trust it as they do a
// credential.
func maskedRequestHeader(v any) any {
	if h, ok := v.(HeaderLine); ok {
		h.Value = route.Masked
		return h
	}
	return masked(v)
}

// ErrorPages is a set of pages for errors.
type ErrorPages struct {
	Name string `yaml:"name"`
	Dir  string `yaml:"dir"`
}

// errorPages are the sets of pages as engines take them, and their names.
func (c *Config) errorPages() (sources []errorpage.Source, names []string) {
	names = []string{}
	for _, p := range c.ErrorPages {
		sources = append(sources, errorpage.Source{Name: p.Name, Dir: p.Dir})
		names = append(names, p.Name)
	}
	return sources, names
}

// errorPages looks at the form: the pages are read when the engine starts.
func (v *validation) errorPages() {
	seen := map[string]bool{}
	for _, p := range v.ErrorPages {
		switch {
		case p.Name == "" || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || p.Name == errorpage.Off:
			v.add("error-pages", p.Name, "a set needs a name of a-z, 0-9, - and _, other than off")
		case seen[p.Name]:
			v.add("error-pages", p.Name, "the name is there twice")
		case p.Dir == "":
			v.add("error-pages", p.Name, "a set needs a dir")
		}
		seen[p.Name] = true
	}
}
