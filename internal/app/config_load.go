package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"fairway/internal/compile"
	"fairway/internal/files"
	"fairway/internal/nearest"
	"fairway/internal/notify"
	"fairway/internal/rules"
	"fairway/internal/yamlnode"
)

// maxConfigBytes bounds every file that is read for the configuration or for
// Check, so that a wrong path does not fill the memory.
const maxConfigBytes = 1 << 20

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	// Key is the key at fault; empty when the file as a whole is.
	Key string
	// Value is what was given, as text; empty when that says nothing.
	Value string
	// Reason says what is wrong with it and what to write instead.
	Reason string
	// Origin says where the value comes from: "fairway.yml:3", "env
	// FAIRWAY_QUIET", "flag --quiet", "default".
	Origin string
}

// String returns the fault in one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Origin != "" {
		b.WriteString(f.Origin + ": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key)
		if f.Value != "" {
			b.WriteString(" " + strconv.Quote(f.Value))
		}
		b.WriteString(": ")
	}
	b.WriteString(f.Reason)
	return b.String()
}

// Faults is everything that is wrong with a configuration, never empty where
// it is an error.
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

// LoadOptions says where a configuration comes from.
type LoadOptions struct {
	// Path is the configuration file. Empty means the one that FAIRWAY_CONFIG
	// names, else fairway.yml in the working directory or in /etc/fairway,
	// whichever is there first, else none.
	Path string
	// Environ is the environment, as of os.Environ. A variable with an empty
	// value counts as not set.
	Environ []string
	// Flags holds the texts given for each key on the command line.
	Flags map[string][]string
}

// Loaded is a configuration and where each of its values comes from.
type Loaded struct {
	Config
	// Path is the configuration file that was read; empty for none.
	Path string
	// Origins says for each key where its value comes from, in the words of
	// Fault.Origin.
	Origins map[string]string
	// Ignored names the environment variables that begin with FAIRWAY_ and mean
	// nothing to Fairway, sorted. They are no faults: other software makes such
	// names, too.
	Ignored []string
}

// Load reads the configuration: defaults, then the file, then the environment,
// then flags, the later winning. The error is a Faults with everything that is
// wrong, or tells why the file cannot be read.
func Load(o LoadOptions) (*Loaded, error) {
	path, data, err := readConfig(o.Path, environment(o.Environ)["FAIRWAY_CONFIG"])
	if err != nil {
		return nil, err
	}
	return load(path, data, o)
}

// load is Load for a file that has been read; no path means none.
func load(path string, data []byte, o LoadOptions) (*Loaded, error) {
	l := &Loaded{Config: Defaults(), Origins: map[string]string{}}
	env := environment(o.Environ)
	var faults Faults
	var file map[string]given
	if path != "" {
		l.Path = path
		file, faults = parseConfig(path, data)
	}
	for _, f := range Fields(&l.Config) {
		l.Origins[f.Name] = "default"
		value, ok := f.newest(file, env, o.Flags)
		if !ok {
			continue
		}
		l.Origins[f.Name] = value.origin
		if err := f.set(value.texts); err != nil {
			shown := strings.Join(value.texts, f.sep)
			if f.isRecords() {
				shown = "" // the reason says which
			}
			faults = append(faults, Fault{Key: f.Name, Value: shown, Reason: err.Error(), Origin: value.origin})
		}
	}
	l.complete(env)
	l.Ignored = ignored(env)
	faults = append(faults, l.blame(l.validate(), faults)...)
	if len(faults) > 0 {
		return l, faults
	}
	return l, nil
}

// complete calls Complete and remembers what it took from the variables of the
// docker command line.
func (l *Loaded) complete(env map[string]string) {
	before := l.Config
	l.Complete(func(name string) string { return env[name] })
	if len(before.Docker) == 0 && len(l.Docker) > 0 && env["DOCKER_HOST"] != "" {
		l.Origins["docker"] = "env DOCKER_HOST"
	}
	if before.DockerTLS != l.DockerTLS {
		for _, key := range []string{"docker-tls.ca", "docker-tls.cert", "docker-tls.key"} {
			l.Origins[key] = "env DOCKER_CERT_PATH"
		}
	}
}

// Value is one key with what holds for it.
type Value struct {
	Key string `json:"key"`
	// Value is a string, a bool, an int or a []string; passwords in URLs, and paths and
	// queries of webhooks, are masked.
	Value any `json:"value"`
	// Origin is in the words of Fault.Origin.
	Origin string `json:"origin"`
}

// Values returns every key in the order of declaration.
func (l *Loaded) Values() []Value {
	var values []Value
	for _, f := range Fields(&l.Config) {
		values = append(values, Value{Key: f.Name, Value: f.value(), Origin: l.Origins[f.Name]})
	}
	return values
}

// value returns what the field holds, in the forms of Value.Value.
func (f Field) value() any {
	switch p := f.Pointer.(type) {
	case *time.Duration:
		return p.String()
	case *bool:
		return *p
	case *int:
		return *p
	case *string:
		return *p
	case *[]string:
		return texts(*p, redact)
	case *[]netip.Prefix:
		return texts(*p, netip.Prefix.String)
	case *[]Certificate:
		return texts(*p, Certificate.String)
	case *[]notify.Channel:
		return texts(*p, channelText)
	case *[]rules.Rule:
		return texts(*p, recordText)
	default:
		panic(fmt.Sprintf("app: key %s has a type the loader does not know: %T", f.Name, f.Pointer))
	}
}

func texts[T any](values []T, text func(T) string) []string {
	all := make([]string, 0, len(values))
	for _, v := range values {
		all = append(all, text(v))
	}
	return all
}

// blame adds the origin to faults found by validation, and leaves out those of
// keys that are known to be at fault already.
func (l *Loaded) blame(found, already Faults) Faults {
	var faults Faults
	for _, f := range found {
		if slices.ContainsFunc(already, func(a Fault) bool { return a.Key == f.Key }) {
			continue
		}
		f.Origin = l.Origins[f.Key]
		faults = append(faults, f)
	}
	return faults
}

// given is what was written for a key in one place.
type given struct {
	texts  []string
	origin string
}

// newest returns what was given for the key at the place that wins.
func (f Field) newest(file map[string]given, env map[string]string, flags map[string][]string) (given, bool) {
	if texts, ok := flags[f.Name]; ok {
		return given{f.split(texts), "flag --" + f.Name}, true
	}
	if text := env[f.Env]; text != "" {
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
		for part := range strings.SplitSeq(text, f.sep) {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// set parses texts, one for each value, and stores them. A value that does not
// parse leaves the field as it was.
func (f Field) set(texts []string) error {
	text := ""
	if len(texts) > 0 {
		text = texts[0]
	}
	switch p := f.Pointer.(type) {
	case *string:
		*p = text
	case *bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("write true or false")
		}
		*p = v
	case *int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("not a number")
		}
		*p = v
	case *time.Duration:
		v, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("not a duration; write 50ms, 2s or 1m")
		}
		*p = v
	case *[]string:
		*p = texts
	case *[]netip.Prefix:
		return setAll(p, texts, parsePrefix)
	case *[]Certificate:
		return setAll(p, texts, func(text string) (c Certificate, err error) {
			err = c.UnmarshalText([]byte(text))
			return c, err
		})
	case *[]notify.Channel:
		return setRecords(p, texts)
	case *[]rules.Rule:
		return setRecords(p, texts)
	default:
		panic(fmt.Sprintf("app: key %s has a type the loader does not know: %T", f.Name, f.Pointer))
	}
	return nil
}

func setAll[T any](p *[]T, texts []string, parse func(string) (T, error)) error {
	values := make([]T, 0, len(texts))
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	*p = values
	return nil
}

// parsePortRange reads a port, or a range of ports.
func parsePortRange(text string) (compile.PortRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return compile.PortRange{}, errors.New("write 5432 or 6000-6010")
	}
	return compile.PortRange{First: uint16(a), Last: uint16(b)}, nil
}

// parsePrefix reads a network, or one address as the network of itself.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network; write 10.0.0.0/8 or fd00::/8", text)
	}
	return prefix.Masked(), nil
}

// readConfig returns the configuration file that applies; no path means none.
func readConfig(flag, env string) (path string, data []byte, err error) {
	candidates := []string{"fairway.yml", "/etc/fairway/fairway.yml"}
	chosen := flag
	if chosen == "" {
		chosen = env
	}
	if chosen != "" {
		candidates = []string{chosen}
	}
	for _, path := range candidates {
		data, err := files.ReadStream(path, maxConfigBytes)
		if chosen == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("configuration: %w", err)
		}
		return path, data, nil
	}
	return "", nil, nil
}

// parseConfig takes a configuration file apart into what it gives for each
// key, and everything that is wrong with its form.
func parseConfig(path string, data []byte) (map[string]given, Faults) {
	p := &configParser{path: path, keys: map[string]Field{}, found: map[string]given{}}
	for _, f := range Fields(new(Config)) {
		p.keys[f.Name] = f
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		origin := path
		line, reason := yamlnode.Reason(err)
		if line > 0 {
			origin = fmt.Sprintf("%s:%d", path, line)
		}
		return nil, Faults{{Reason: reason, Origin: origin}}
	}
	if len(document.Content) > 0 && document.Content[0].Tag != "!!null" {
		p.mapping(document.Content[0], "")
	}
	return p.found, p.faults
}

type configParser struct {
	path   string
	keys   map[string]Field
	found  map[string]given
	faults Faults
}

func (p *configParser) fault(n *yaml.Node, key, reason string) {
	p.faults = append(p.faults, Fault{Key: key, Reason: reason, Origin: p.at(n)})
}

func (p *configParser) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", p.path, n.Line) }

// mapping reads the keys below prefix.
func (p *configParser) mapping(n *yaml.Node, prefix string) {
	if n.Kind != yaml.MappingNode {
		p.fault(n, strings.TrimSuffix(prefix, "."), "keys and values are expected here")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := prefix + key.Value
		switch f, ok := p.keys[name]; {
		case seen[name]:
			p.fault(key, name, "given twice")
		case ok && !strings.Contains(key.Value, "."):
			p.leaf(f, key, value)
		case p.hasBelow(name) && !strings.Contains(key.Value, "."):
			p.mapping(value, name+".")
		default:
			p.fault(key, name, p.unknown(name, key.Value))
		}
		seen[name] = true
	}
}

func (p *configParser) hasBelow(name string) bool {
	for key := range p.keys {
		if strings.HasPrefix(key, name+".") {
			return true
		}
	}
	return false
}

// unknown explains a key that does not exist.
func (p *configParser) unknown(name, written string) string {
	if _, ok := p.keys[name]; ok {
		outer, inner, _ := strings.Cut(written, ".")
		return fmt.Sprintf("write it as %q with %q below it", outer+":", inner+":")
	}
	names := make([]string, 0, len(p.keys))
	for key := range p.keys {
		names = append(names, key)
	}
	if near := nearest.Word(name, names); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", near)
	}
	return "unknown key; docs/config.md lists all keys"
}

// leaf reads the value of one key.
func (p *configParser) leaf(f Field, key, value *yaml.Node) {
	value = yamlnode.Resolve(value)
	g := given{origin: p.at(key)}
	switch {
	case value.Tag == "!!null":
		return // As if the key were not there.
	case value.Kind == yaml.ScalarNode:
		g.texts = f.split([]string{value.Value})
	case value.Kind == yaml.SequenceNode && f.Repeatable:
		for _, item := range value.Content {
			text, ok := itemText(f, yamlnode.Resolve(item))
			if !ok {
				p.fault(item, f.Name, "one value is expected here")
				return
			}
			g.texts = append(g.texts, text)
		}
	case f.Repeatable:
		p.fault(value, f.Name, "a list is expected here")
		return
	default:
		p.fault(value, f.Name, "one value is expected here")
		return
	}
	p.found[f.Name] = g
}

// itemText returns an element of a list in its text form. A certificate may
// also be written as a mapping.
func itemText(f Field, item *yaml.Node) (text string, ok bool) {
	if item.Kind == yaml.ScalarNode && item.Tag != "!!null" {
		return item.Value, true
	}
	if f.isRecords() {
		return nodeText(item)
	}
	if _, isCertificate := f.Pointer.(*[]Certificate); !isCertificate || item.Kind != yaml.MappingNode || len(item.Content) != 4 {
		return "", false
	}
	cert, key := yamlnode.Text(yamlnode.Get(item, "cert")), yamlnode.Text(yamlnode.Get(item, "key"))
	return cert + "," + key, cert != "" && key != ""
}

// environment makes a map of the form of os.Environ.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// ignored names the variables that look like ours and are not.
func ignored(env map[string]string) []string {
	// The command line reads these itself.
	known := map[string]bool{"FAIRWAY_CONFIG": true, "FAIRWAY_ADMIN": true}
	for _, f := range Fields(new(Config)) {
		known[f.Env] = true
	}
	var names []string
	for name := range env {
		if strings.HasPrefix(name, "FAIRWAY_") && !known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
