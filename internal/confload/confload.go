// Package confload fills a configuration: a struct whose tags declare its keys.
// Defaults come first, then a YAML file, the environment and flags, the later
// winning. Everything that is wrong is reported at once, with where it was written.
//
// The tags of a field, and the prefix of a struct with the tag embed:
//
//	name         the key, below the prefixes of the structs it is in
//	help         one sentence for people
//	placeholder  what stands for the value in help texts
//	preset       the default, written as in the environment
//	derived      the rule for a default that depends on the machine or other keys
//	bare         the value that the flag alone stands for
//	sep          what separates the values of a list in a flag or variable
//	pairs        a list whose values are written "KEY: VALUE"; in the file a mapping, too
//
// and those that Check judges by:
//
//	least, most  the bounds of a number or duration
//	oneof        the texts that are allowed, separated by commas
//	file         a path that has to name a file
//	needs        the key that has to be given with this one
//
// A field is a string, bool, int, time.Duration, or a list: of strings,
// netip.Prefix, types that unmarshal from text, or records. A record is a struct
// with yaml tags: a mapping in the file, and the same in braces in a flag.
package confload

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Field is a key of a configuration, with the place of its value.
type Field struct {
	// Name is the key, dotted, and the flag without its dashes; Env the variable.
	Name, Env string
	// Help is one sentence for people; Placeholder stands for the value there, and is
	// empty for switches.
	Help, Placeholder string
	// Default is what holds when the key is not given, for people: a value, or the
	// rule by which one is found. Empty means nothing.
	Default string
	// Repeatable keys take several values, which Sep separates in a flag or variable.
	Repeatable bool
	Sep        string
	// Pointer points to the field of the configuration.
	Pointer any

	tag reflect.StructTag
}

// Fields returns every key of the struct that config points to, in the order of
// declaration. Names of variables begin with prefix.
func Fields(config any, prefix string) []Field {
	return fields(reflect.ValueOf(config).Elem(), "", prefix)
}

func fields(v reflect.Value, above, prefix string) (all []Field) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if _, embedded := tag.Lookup("embed"); embedded {
			all = append(all, fields(v.Field(i), above+tag.Get("prefix"), prefix)...)
			continue
		}
		name := above + tag.Get("name")
		all = append(all, Field{
			Name: name, Env: prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name)),
			Help: tag.Get("help"), Placeholder: tag.Get("placeholder"), Default: cmp.Or(tag.Get("preset"), tag.Get("derived")),
			Repeatable: v.Field(i).Kind() == reflect.Slice, Sep: tag.Get("sep"),
			Pointer: v.Field(i).Addr().Interface(), tag: tag,
		})
	}
	return all
}

// Preset sets every key that has a default of its own.
func Preset(config any) {
	for _, f := range Fields(config, "") {
		preset := f.tag.Get("preset")
		if preset == "" {
			continue
		}
		if err := f.set(f.split([]string{preset})); err != nil {
			panic("confload: default of " + f.Name + ": " + err.Error()) // a constant; every test would see it
		}
	}
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Key is the key at fault; empty when the file as a whole is.
	Key string
	// Value is what was given, as text; empty when that says nothing.
	Value string
	// Reason says what is wrong with it and what to write instead.
	Reason string
	// Origin says where the value comes from: "fairway.yml:3", "env FAIRWAY_QUIET",
	// "flag --quiet", "default".
	Origin string
}

// String returns the fault in one line.
func (f Fault) String() string {
	text := f.Reason
	switch {
	case f.Key != "" && f.Value != "":
		text = f.Key + " " + strconv.Quote(f.Value) + ": " + text
	case f.Key != "":
		text = f.Key + ": " + text
	}
	if f.Origin != "" {
		text = f.Origin + ": " + text
	}
	return text
}

// Faults is everything that is wrong with a configuration; as an error never empty.
type Faults []Fault

// Error returns all faults, one a line.
func (f Faults) Error() string {
	if len(f) == 1 {
		return "configuration: " + f[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "configuration has %d faults:", len(f))
	for _, fault := range f {
		b.WriteString("\n  " + fault.String())
	}
	return b.String()
}

// Options say where a configuration comes from.
type Options struct {
	Prefix string // begins the names of the environment variables
	Path   string // of the file with Data; empty for none
	Data   []byte
	// Env is the environment. A variable with an empty value counts as not set.
	Env map[string]string
	// Flags holds the texts given for each key on the command line.
	Flags     map[string][]string
	Reference string // where people find all keys
}

// Loaded says where the values of a configuration come from, and what is wrong.
type Loaded struct {
	// Origins says for each key where its value comes from; see Fault.Origin.
	Origins map[string]string
	// Ignored are the variables that begin with the prefix and are no key, sorted.
	Ignored []string
	// Faults is what is wrong. A value that does not fit leaves the field as it was.
	Faults Faults
}

// Load fills the struct that config points to.
func Load(config any, o Options) *Loaded {
	all := Fields(config, o.Prefix)
	l := &Loaded{Origins: map[string]string{}}
	var file map[string]given
	if o.Path != "" {
		file, l.Faults = parseFile(all, o)
	}
	known := map[string]bool{}
	for _, f := range all {
		known[f.Env] = true
		l.Origins[f.Name] = "default"
		value, ok := f.newest(file, o)
		if !ok {
			continue
		}
		l.Origins[f.Name] = value.origin
		if err := f.set(value.texts); err != nil {
			shown := strings.Join(value.texts, f.Sep)
			if f.isRecords() {
				shown = "" // the reason says which
			}
			l.Faults = append(l.Faults, Fault{Key: f.Name, Value: shown, Reason: err.Error(), Origin: value.origin})
		}
	}
	for name := range o.Env {
		if strings.HasPrefix(name, o.Prefix) && !known[name] {
			l.Ignored = append(l.Ignored, name)
		}
	}
	slices.Sort(l.Ignored)
	return l
}

// Add adds faults that were found afterwards, of keys that are not at fault already.
func (l *Loaded) Add(found Faults) {
	already := l.Faults
	for _, f := range found {
		if slices.ContainsFunc(already, func(a Fault) bool { return a.Key == f.Key }) {
			continue
		}
		f.Origin = l.Origins[f.Key]
		l.Faults = append(l.Faults, f)
	}
}

// given is what was written for a key in one place.
type given struct {
	texts  []string
	origin string
}

// newest returns what was given for the key at the place that wins.
func (f Field) newest(file map[string]given, o Options) (given, bool) {
	if texts, ok := o.Flags[f.Name]; ok {
		return given{f.split(texts), "flag --" + f.Name}, true
	}
	if text := o.Env[f.Env]; text != "" {
		return given{f.split([]string{text}), "env " + f.Env}, true
	}
	value, ok := file[f.Name]
	return value, ok
}

// split takes the values of a list apart; of anything else, the last one wins.
func (f Field) split(texts []string) []string {
	if !f.Repeatable {
		return texts[len(texts)-1:]
	}
	var all []string
	for _, text := range texts {
		for part := range strings.SplitSeq(text, f.Sep) {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}
