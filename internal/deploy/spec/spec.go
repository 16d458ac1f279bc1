// Package spec reads what Compose files say services must be, for a deploy. Compose's own
// package reads the values; what a deploy does not honour is refused with its line, everything
// at once, before anything is written.
package spec

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
	"golang.org/x/crypto/argon2"

	"fairway/internal/compose"
	"fairway/internal/files"
	"fairway/internal/yamlnode"
)

// Options say what to read.
type Options struct {
	// Files are paths, later ones over earlier ones.
	Files []string
	// Environ is the environment, as of os.Environ.
	Environ []string
	// Project is its name; empty for the one of the files, else of their directory.
	Project string
	// Profiles are those that are chosen.
	Profiles []string
	// Remote is true where the engine is on another machine, which has no files of this one.
	Remote bool
}

// Project is what files say.
type Project struct {
	Name string
	// Services are those to be deployed, what others depend on first.
	Services []Service
	// Others are the names of services that the files have and that are not chosen.
	Others   []string
	Networks types.Networks
	Volumes  types.Volumes
	// Notes are no faults.
	Notes []compose.Problem
}

// Service is what the instances of a service must be.
type Service struct {
	Config types.ServiceConfig
	// Slots is how many instances it must have.
	Slots int
	// Restart is its restart policy, as of docker run.
	Restart string
	// StopFirst has old instances stop first, because of Why.
	StopFirst bool
	Why       string
	// Exclusive is true where two instances cannot be at once, in spite of any order that is asked for.
	Exclusive bool
	// Names are those of its networks and volumes on the engine.
	Names []string
	// Parallel, Delay and Monitor are those of update_config; zero for not said.
	Parallel       int
	Delay, Monitor time.Duration
	// Files are configs and secrets, to be written before the first start.
	Files []File
}

// File is a file of an instance.
type File struct {
	Path     string
	Content  []byte
	Mode     int64
	UID, GID int
}

// RefusedError is all that is wrong with files.
type RefusedError struct{ Problems []compose.Problem }

// Error lists the problems, one a line, sorted by file and line.
func (e *RefusedError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
		if p.Hint != "" {
			lines[i] += "; " + p.Hint
		}
	}
	return strings.Join(lines, "\n")
}

// maxFile bounds a file, in bytes.
const maxFile = 4 << 20

// Read reads files. The error is a RefusedError where something in them is at fault.
func Read(ctx context.Context, o Options) (*Project, error) {
	if len(o.Files) == 0 {
		return nil, errors.New("no file is named")
	}
	env, err := compose.Environment(o.Files[0], o.Environ)
	if err != nil {
		return nil, err
	}
	r := &reader{Options: o, env: env}
	details := types.ConfigDetails{WorkingDir: filepath.Dir(o.Files[0]), Environment: env}
	for _, path := range o.Files {
		data, err := files.Read(path, maxFile)
		if err != nil {
			return nil, err
		}
		var n yaml.Node
		if err := yaml.Unmarshal(data, &n); err != nil {
			line, reason := yamlnode.Reason(err)
			r.problems = append(r.problems, compose.Problem{Position: compose.Position{File: path, Line: line}, Code: compose.CodeForm, Text: reason})
			continue
		}
		if len(n.Content) == 0 {
			r.problems = append(r.problems, compose.Problem{Position: compose.Position{File: path, Line: 1}, Code: compose.CodeForm, Text: "the file is empty"})
			continue
		}
		r.add(path, n.Content[0])
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: path, Content: data})
	}
	if len(r.problems) > 0 {
		return nil, r.refused()
	}
	name := o.Project
	if name == "" {
		name = compose.ProjectName(o.Files[0], r.roots[0].node, compose.Variables{Values: env})
	}
	if !projectName(name) {
		return nil, fmt.Errorf("%q is no name of a project: small letters, digits, - and _ are, and a letter or digit comes first", name)
	}
	p, err := loader.LoadWithContext(ctx, details, func(l *loader.Options) {
		l.SetProjectName(name, true)
		l.SkipInclude, l.SkipExtends = true, true
		l.ResolvePaths = true
		l.Profiles = o.Profiles
	}, loader.WithDiscardEnvFiles)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(o.Files, ", "), err)
	}
	return r.project(p)
}

func projectName(name string) bool {
	return name != "" && name == loader.NormalizeProjectName(name)
}

// project makes a project of what Compose has read.
func (r *reader) project(p *types.Project) (*Project, error) {
	out := &Project{Name: p.Name, Networks: p.Networks, Volumes: p.Volumes, Others: slices.Sorted(maps.Keys(p.DisabledServices))}
	for _, name := range order(p.Services) {
		s, err := r.service(p, p.Services[name])
		if err != nil {
			return nil, err
		}
		out.Services = append(out.Services, s)
	}
	if len(r.problems) > 0 {
		return nil, r.refused()
	}
	out.Notes = r.notes
	return out, nil
}

// order returns the names of services, what others depend on first.
func order(services types.Services) (names []string) {
	var visit func(name string)
	visit = func(name string) {
		s, ok := services[name]
		if !ok || slices.Contains(names, name) {
			return
		}
		for _, on := range slices.Sorted(maps.Keys(s.DependsOn)) { // Compose refuses circles
			visit(on)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		visit(name)
	}
	return names
}

// maxSlots bounds the slots of a service.
const maxSlots = 1000

func (r *reader) service(p *types.Project, c types.ServiceConfig) (Service, error) {
	s := Service{Config: c, Slots: c.GetScale(), Restart: c.Restart}
	at := func(keys ...string) compose.Position { return r.at(append([]string{"services", c.Name}, keys...)...) }
	if s.Restart == "" {
		s.Restart = "no"
	}
	if d := c.Deploy; d != nil {
		r.deploy(&s, d, at)
	}
	switch {
	case s.Slots < 0 || s.Slots > maxSlots:
		r.refuse(at("scale"), fmt.Sprintf("%d instances", s.Slots), "0 to 1000 are possible")
	case c.Image == "":
		r.refuse(at("build"), "build without image: nothing is built here", "build and push the image, and name it with image")
	case c.Build != nil:
		r.notes = append(r.notes, compose.Problem{Position: at("build"), Code: compose.CodeForm, Text: "build is left out: the image is deployed"})
	}
	if c.ContainerName != "" && s.Slots > 1 {
		r.refuse(at("container_name"), "container_name with more than one instance", "a name is that of one: leave it out, or have one")
	}
	for key, mode := range map[string]string{"network_mode": c.NetworkMode, "ipc": c.Ipc, "pid": c.Pid} {
		if strings.HasPrefix(mode, types.ServicePrefix) || strings.HasPrefix(mode, types.ContainerPrefix) {
			r.refuse(at(key), key+" "+mode+" is not honoured by a deploy", "")
		}
	}
	for _, on := range c.DependsOn {
		if on.Condition == types.ServiceConditionCompletedSuccessfully {
			r.refuse(at("depends_on"), "depends_on with "+on.Condition+" is not honoured by a deploy", "run it by itself before")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Networks)) {
		s.Names = append(s.Names, p.Networks[key].Name)
	}
	for _, v := range c.Volumes {
		if named, ok := p.Volumes[v.Source]; ok && v.Type == types.VolumeTypeVolume {
			s.Names = append(s.Names, named.Name)
		}
		if v.Type == types.VolumeTypeVolume && v.Source == "" {
			r.notes = append(r.notes, compose.Problem{Position: at("volumes"), Code: compose.CodeForm, Text: "the volume at " + v.Target + " has no name: a new instance begins with an empty one"})
		}
	}
	r.dropped(c, at)
	r.orderOf(&s, at)
	r.binds(c, at)
	r.files(p, &s, at)
	return s, nil
}

func (r *reader) deploy(s *Service, d *types.DeployConfig, at func(...string) compose.Position) {
	if d.Mode != "" && d.Mode != "replicated" {
		r.refuse(at("deploy", "mode"), "deploy.mode "+d.Mode, "one engine has no nodes to be global on: leave it out")
	}
	if p := d.RestartPolicy; p != nil && s.Config.Restart == "" {
		s.Restart = map[string]string{"": "unless-stopped", "any": "unless-stopped", "on-failure": "on-failure", "none": "no"}[p.Condition]
		if p.MaxAttempts != nil && s.Restart == "on-failure" {
			s.Restart = fmt.Sprintf("on-failure:%d", *p.MaxAttempts)
		}
	}
	if u := d.UpdateConfig; u != nil {
		if u.Parallelism != nil {
			s.Parallel = int(min(*u.Parallelism, maxSlots)) //nolint:gosec // bounded
			if *u.Parallelism == 0 {
				s.Parallel = maxSlots
			}
		}
		s.Delay, s.Monitor = time.Duration(u.Delay), time.Duration(u.Monitor)
	}
	if len(d.Labels) > 0 {
		r.notes = append(r.notes, compose.Problem{
			Position: at("deploy", "labels"), Code: compose.CodeForm, Text: "deploy.labels are put on the containers: an engine alone has no services",
		})
		labels := types.Labels{}
		maps.Copy(labels, d.Labels)
		maps.Copy(labels, s.Config.Labels)
		s.Config.Labels = labels
	}
}

// dropped refuses what instances would lack without a word.
func (r *reader) dropped(c types.ServiceConfig, at func(...string) compose.Position) {
	refuse := func(is bool, keys ...string) {
		if is {
			r.refuse(at(keys...), strings.Join(keys, ".")+" is not honoured by a deploy", "")
		}
	}
	refuse(c.MacAddress != "", "mac_address")
	refuse(c.Platform != "", "platform")
	for key, n := range c.Networks {
		refuse(n != nil && n.MacAddress != "", "networks", key, "mac_address")
	}
	refuse(slices.ContainsFunc(c.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Bind != nil && v.Bind.SELinux != "" }), "volumes", "bind", "selinux")
	d := c.Deploy
	if d == nil {
		return
	}
	refuse(d.Resources.Reservations != nil && len(d.Resources.Reservations.Devices) > 0, "deploy", "resources", "reservations", "devices")
	p := d.Placement
	refuse(len(p.Constraints) > 0 || len(p.Preferences) > 0 || p.MaxReplicas > 0, "deploy", "placement")
	refuse(d.RollbackConfig != nil, "deploy", "rollback_config")
	if u := d.UpdateConfig; u != nil {
		refuse(u.FailureAction != "" && u.FailureAction != "rollback", "deploy", "update_config", "failure_action")
		refuse(u.MaxFailureRatio > 0, "deploy", "update_config", "max_failure_ratio")
	}
}

// orderOf decides whether old instances stop first, and why.
func (r *reader) orderOf(s *Service, at func(...string) compose.Position) {
	c := s.Config
	said := ""
	if c.Deploy != nil && c.Deploy.UpdateConfig != nil {
		said = c.Deploy.UpdateConfig.Order
	}
	must := ""
	for _, p := range c.Ports {
		if p.Published != "" && p.Published != "0" && !strings.Contains(p.Published, "-") {
			must = "two instances cannot have port " + p.Published + " of the machine"
			if s.Slots > 1 {
				r.refuse(at("ports"), fmt.Sprintf("port %s of the machine for %d instances", p.Published, s.Slots), "publish a range, or leave the port to Fairway")
			}
			break
		}
	}
	switch {
	case must != "":
	case c.NetworkMode == "host":
		must = "two instances cannot have the ports of the machine's network"
	}
	for name, n := range c.Networks {
		if n != nil && (n.Ipv4Address != "" || n.Ipv6Address != "") {
			must = "two instances cannot have one address on " + name
			if s.Slots > 1 {
				r.refuse(at("networks"), "a fixed address for more than one instance", "leave it out, or have one instance")
			}
		}
	}
	volume := ""
	for _, v := range c.Volumes {
		if !v.ReadOnly && (v.Type == types.VolumeTypeVolume && v.Source != "" || v.Type == types.VolumeTypeBind) && v.Source != "/var/run/docker.sock" {
			volume = "two instances would write to volume " + v.Source + " at once"
		}
	}
	switch {
	case must != "":
		s.StopFirst, s.Exclusive, s.Why = true, true, must
	case said == "stop-first":
		s.StopFirst, s.Why = true, "update_config says so"
	case said == "start-first":
	case volume != "":
		s.StopFirst, s.Why = true, volume
	}
}

// binds refuses what is not there.
func (r *reader) binds(c types.ServiceConfig, at func(...string) compose.Position) {
	for _, v := range c.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if r.Remote {
			if r.relative(c.Name) {
				r.refuse(at("volumes"), "a relative path on another machine: "+v.Source, "write an absolute path of that machine, or use a volume")
			}
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			r.refuse(at("volumes"), "there is no "+v.Source, "it is not made, since it would be a directory of root: make it first")
		}
	}
}

// files reads configs and secrets.
func (r *reader) files(p *types.Project, s *Service, at func(...string) compose.Position) {
	add := func(kind string, ref types.FileReferenceConfig, object types.FileObjectConfig, path string, mode int64) {
		f := File{Path: path, Mode: mode}
		if ref.Mode != nil {
			f.Mode = int64(*ref.Mode)
		}
		_, _ = fmt.Sscan(ref.UID, &f.UID)
		_, _ = fmt.Sscan(ref.GID, &f.GID)
		switch {
		case bool(object.External):
			r.refuse(at(kind), kind+" "+ref.Source+" is external, which only a Swarm has", "use content, environment or file")
		case object.Content != "":
			f.Content = []byte(object.Content)
		case object.Environment != "":
			value, set := r.env[object.Environment]
			if !set {
				r.refuse(at(kind), "variable "+object.Environment+" is not set", "")
			}
			f.Content = []byte(value)
		case object.File != "":
			data, err := files.Read(object.File, maxFile)
			if err != nil {
				r.refuse(at(kind), err.Error(), "")
			}
			f.Content = data
		}
		s.Files = append(s.Files, f)
	}
	target := func(ref types.FileReferenceConfig, dir string) string {
		switch {
		case strings.HasPrefix(ref.Target, "/"):
			return ref.Target
		case ref.Target != "":
			return dir + ref.Target
		}
		return dir + ref.Source
	}
	for _, ref := range s.Config.Configs {
		f := types.FileReferenceConfig(ref)
		add("configs", f, types.FileObjectConfig(p.Configs[ref.Source]), target(f, "/"), 0o444)
	}
	for _, ref := range s.Config.Secrets {
		f := types.FileReferenceConfig(ref)
		add("secrets", f, types.FileObjectConfig(p.Secrets[ref.Source]), target(f, "/run/secrets/"), 0o400)
	}
}

// NewSalt is a salt for Digest, as text for a label.
func NewSalt() string {
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	return hex.EncodeToString(salt[:])
}

// Digest is the spec digest of an instance that is made from the service with an image. It is
// slow and salted, so that who sees it cannot try out values of the environment.
func (s Service) Digest(image, salt string) string {
	c := s.Config
	resources := types.Resources{}
	if c.Deploy != nil {
		resources = c.Deploy.Resources
	}
	c.Deploy, c.Scale, c.Restart, c.DependsOn, c.Build, c.Profiles, c.PullPolicy, c.Develop, c.Attach = nil, nil, "", nil, nil, nil, "", nil, nil
	c.Image, c.EnvFiles, c.LabelFiles = image, nil, nil
	text, err := json.Marshal([]any{c, resources, s.Files, s.Names}) // maps are sorted
	if err != nil {
		text = fmt.Appendf(nil, "%+v", c)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(argon2.IDKey(sum[:], []byte(salt), 1, 8<<10, 1, 6))
}
