// Package engines runs instances of a service on a Docker Engine, for deploys. What it knows
// of a service, of a deploy under way and of the way back stands in names and labels of
// containers there.
package engines

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"fairway/internal/catalog"
	"fairway/internal/deploy"
	"fairway/internal/deploy/marks"
	"fairway/internal/deploy/spec"
	"fairway/internal/dockerapi"
)

// The labels of containers, beside those of marks.
const (
	labelDigest  = "fairway-deploy.digest"
	labelSalt    = "fairway-deploy.salt"
	labelRun     = "fairway-deploy.run"
	labelImage   = "fairway-deploy.image"
	labelRestart = "fairway-deploy.restart"
	labelOrder   = "fairway-deploy.order"

	labelWho     = "fairway-deploy.who"
	labelHost    = "fairway-deploy.host"
	labelProcess = "fairway-deploy.process"
	labelSince   = "fairway-deploy.since"
	labelUntil   = "fairway-deploy.until"
	labelFrom    = "fairway-deploy.from"

	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff"
	composeHash    = "com.docker.compose.config-hash"
)

// stopFirst is the value of labelOrder where old instances stop first.
const stopFirst = "stop-first"

func order(first bool) string {
	if first {
		return stopFirst
	}
	return "start-first"
}

// Engine runs one service. It is used by one deploy.
type Engine struct {
	Client *dockerapi.Client
	// Service is the name of the service.
	Service deploy.Name
	// Spec is what new instances are; nil where none are made. Project has its networks.
	Spec    *spec.Service
	Project *spec.Project
	// Image is what new instances are made from.
	Image Image
	// Salt goes into digests.
	Salt string
	// Settle is how long one without a health check waits for its first request.
	Settle time.Duration
	// Lock has who, where and which process a deploy is of.
	Lock deploy.Lock
	// Limits are those of the deploy: they bound its lock.
	Limits deploy.Limits
	// Routed says whether the service has routes or gets some; nil for what its labels and
	// variables look like.
	Routed *bool
	// Auth are credentials for the registry, as the header of the engine's API; or empty.
	Auth string
}

// Image is an image that was resolved.
type Image struct {
	// Written is the reference as people wrote it, Ref the name with the digest, or the ID.
	Written, Ref string
	// Health is true where it declares a health check, as far as that is known.
	Health bool
	// Volumes are the paths that get a volume of their own in each instance, as far as known.
	Volumes []string
}

// Held returns the lock that is there, or nil.
func (e *Engine) Held(ctx context.Context) (*deploy.Lock, error) { return e.lock(ctx) }

// Observe returns everything that the engine has of the service.
func (e *Engine) Observe(ctx context.Context) (deploy.Observation, error) {
	o := deploy.Observation{}
	list, err := e.Client.ContainersLabelled(ctx, map[string]string{composeProject: e.Service.Project, composeService: e.Service.Service})
	if err != nil {
		return o, err
	}
	for _, c := range list {
		if strings.EqualFold(c.Labels[composeOneOff], "true") {
			continue
		}
		m, err := e.Client.ContainerManaged(ctx, c.ID)
		if dockerapi.IsNotFound(err) {
			continue
		}
		if err != nil {
			return o, err
		}
		o.Instances = append(o.Instances, e.instance(m))
	}
	slices.SortFunc(o.Instances, func(a, b deploy.Instance) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	if o.Lock, err = e.lock(ctx); err != nil {
		return o, err
	}
	if e.Spec == nil {
		o.Image = true
		return o, nil
	}
	if _, err := e.Client.ImageInspect(ctx, e.Image.Ref); err == nil {
		o.Image = true
	} else if !dockerapi.IsNotFound(err) {
		return o, err
	}
	o.Missing, err = e.missing(ctx)
	return o, err
}

func (e *Engine) instance(m dockerapi.Managed) deploy.Instance {
	_, mark := marks.Read(m.Name)
	in := deploy.Instance{
		ID: m.ID, Name: m.Name, Mark: mark.Kind, Run: m.Labels[labelRun], Digest: m.Labels[labelDigest], Image: m.Image, Node: e.Client.URL(),
		State: deploy.Stopped, Health: m.Health, Detail: m.Detail, ExitCode: m.ExitCode, Created: m.Created, Started: m.Started,
		Restart: m.RestartPolicy, Serving: m.Labels[labelRestart], Grace: m.Grace,
		StopFirst: m.Labels[labelOrder] == stopFirst,
	}
	if mark.Kind == marks.Leaving && !mark.IsLeaving(m.Started) {
		in.Mark = marks.Old // it was started again: void
	}
	if in.Digest == "" || in.Run == "" {
		in.Digest, in.Run = "id-"+m.ID[:min(12, len(m.ID))], ""
	}
	switch m.Status {
	case "running", "paused":
		in.State = deploy.Running
	case "created":
		in.State = deploy.Created
		if !m.Started.IsZero() || m.Detail != "" {
			in.State = deploy.Stopped
		}
	}
	in.Slot, _ = strconv.Atoi(m.Labels[composeNumber])
	in.Slot = max(in.Slot, 1)
	if own := m.Labels[catalog.ServiceLabel]; catalog.IsName(own) {
		in.Known = own
	}
	if e.Routed != nil {
		in.Routed = *e.Routed
		return in
	}
	in.Routed = len(m.Env) > 0
	for key := range m.Labels {
		in.Routed = in.Routed || catalog.IsLabel(key)
	}
	return in
}

// SaltOf returns the salt that a service has; empty for none yet.
func SaltOf(ctx context.Context, c *dockerapi.Client, name deploy.Name) (string, error) {
	list, err := c.ContainersLabelled(ctx, map[string]string{composeProject: name.Project, composeService: name.Service})
	if err != nil {
		return "", err
	}
	slices.SortFunc(list, func(a, b dockerapi.Container) int { return b.Created.Compare(a.Created) })
	for _, c := range list {
		if salt := c.Labels[labelSalt]; salt != "" {
			return salt, nil
		}
	}
	return "", nil
}

// Services returns the names of all services that deploys have made.
func Services(ctx context.Context, c *dockerapi.Client) (names []deploy.Name, err error) {
	list, err := c.ContainerList(ctx, true)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		name := deploy.Name{Project: one.Labels[composeProject], Service: one.Labels[composeService]}
		if one.Labels[labelRun] != "" && one.Labels[marks.LabelLock] == "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b deploy.Name) int { return cmp.Compare(a.String(), b.String()) })
	return names, nil
}

// lock returns the lock that is there, or nil.
func (e *Engine) lock(ctx context.Context) (*deploy.Lock, error) {
	c, err := e.Client.ContainerInspect(ctx, e.Service.Lock())
	switch {
	case dockerapi.IsNotFound(err):
		return nil, nil //nolint:nilnil // none
	case err != nil:
		return nil, err
	case c.Labels[marks.LabelLock] == "":
		return nil, fmt.Errorf("the container %s is no lock of a deploy: rename it", e.Service.Lock())
	}
	at := func(label string) time.Time {
		t, _ := time.Parse(time.RFC3339, c.Labels[label])
		return t
	}
	return &deploy.Lock{
		ID: c.ID, Who: c.Labels[labelWho], Host: c.Labels[labelHost], Process: c.Labels[labelProcess], Since: at(labelSince), Until: at(labelUntil),
		Run: c.Labels[labelRun], Digest: c.Labels[labelDigest], From: deploy.ParseFrom(c.Labels[labelFrom]),
		StopFirst: c.Labels[labelOrder] == stopFirst,
	}, nil
}

// missing are the networks and volumes of the service that are to be made.
func (e *Engine) missing(ctx context.Context) (list []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(e.Spec.Config.Networks)) {
		n := e.Project.Networks[key]
		driver, err := e.Client.NetworkDriver(ctx, n.Name)
		switch {
		case dockerapi.IsNotFound(err) && bool(n.External):
			return nil, fmt.Errorf("network %s is external, and the engine has none of that name", n.Name)
		case dockerapi.IsNotFound(err):
			list = append(list, "network "+key)
		case err != nil:
			return nil, err
		case n.Driver != "" && n.Driver != "default" && n.Driver != driver:
			return nil, fmt.Errorf("network %s has the driver %s, and the file wants %s", n.Name, driver, n.Driver)
		}
	}
	for _, v := range e.Spec.Config.Volumes {
		named, ok := e.Project.Volumes[v.Source]
		if v.Type != "volume" || !ok {
			continue
		}
		exists, err := e.Client.VolumeExists(ctx, named.Name)
		switch {
		case err != nil:
			return nil, err
		case !exists && bool(named.External):
			return nil, fmt.Errorf("volume %s is external, and the engine has none of that name", named.Name)
		case !exists && !slices.Contains(list, "volume "+v.Source):
			list = append(list, "volume "+v.Source)
		}
	}
	return list, nil
}

// Log returns the newest lines of an instance.
func (e *Engine) Log(ctx context.Context, instance string, n int) ([]string, error) {
	found, err := e.Client.ContainerLog(ctx, instance, n)
	lines := make([]string, len(found))
	for i, l := range found {
		lines[i] = l.Text
	}
	return lines, err
}

// ForeignError says that something that is not the service's has a name that it needs.
type ForeignError struct{ Name, ID, Image string }

// Error says what has the name.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("container %s (%s, image %s) was not made by a deploy of this service: remove or rename it", e.Name, e.ID[:min(12, len(e.ID))], e.Image)
}

// Do does a step.
func (e *Engine) Do(ctx context.Context, w deploy.Want, s deploy.Step) error {
	err := e.do(ctx, w, s)
	if dockerapi.IsNotFound(err) && s.Instance != "" {
		if s.Kind == deploy.Delete {
			return nil
		}
		return fmt.Errorf("%w: %w", deploy.ErrChanged, err)
	}
	return err
}

func (e *Engine) do(ctx context.Context, w deploy.Want, s deploy.Step) error {
	c := e.Client
	switch s.Kind {
	case deploy.Pull:
		if err := c.ImagePull(ctx, e.Image.Ref, e.Auth); err != nil {
			return err
		}
		found, err := c.ImageInspect(ctx, e.Image.Ref)
		e.Image.Health = found.Health
		return err
	case deploy.TakeOn:
		return e.takeOn(ctx, w)
	case deploy.Release:
		return e.release(ctx, w)
	case deploy.Prepare:
		return e.prepare(ctx, s.To)
	case deploy.Create:
		return e.create(ctx, w, s)
	case deploy.Rename, deploy.Leave, deploy.Keep:
		return e.rename(ctx, s)
	case deploy.Start:
		return c.ContainerStart(ctx, s.Instance)
	case deploy.Stop:
		m, err := e.observed(ctx, s)
		if err != nil {
			return err
		}
		ctx = context.WithoutCancel(ctx) // what was begun is waited for: the engine goes on with it
		if err := c.ContainerPolicy(ctx, s.Instance, "no"); err != nil {
			return err
		}
		return c.ContainerStop(ctx, s.Instance, m.Grace)
	case deploy.Delete:
		m, err := e.observed(ctx, s)
		switch {
		case err != nil:
			return err
		case m.Started.IsZero():
			return c.ContainerRemove(ctx, s.Instance, true)
		}
		return c.ContainerDrop(ctx, s.Instance) // its anonymous volumes may have data
	case deploy.Policy:
		return c.ContainerPolicy(ctx, s.Instance, s.To)
	}
	return fmt.Errorf("%s: an engine has no such step", s.Kind)
}

// observed reads a container that must still have the name that was observed.
func (e *Engine) observed(ctx context.Context, s deploy.Step) (dockerapi.Managed, error) {
	m, err := e.Client.ContainerManaged(ctx, s.Instance)
	if err == nil && m.Name != s.Name {
		err = fmt.Errorf("%w: %s is %s now", deploy.ErrChanged, s.Name, m.Name)
	}
	return m, err
}

// rename changes the name of a container that still has the one that was observed.
func (e *Engine) rename(ctx context.Context, s deploy.Step) error {
	m, err := e.Client.ContainerManaged(ctx, s.Instance)
	switch {
	case err != nil:
		return err
	case m.Name == s.To:
		return nil
	case m.Name != s.Name:
		return fmt.Errorf("%w: %s is %s now", deploy.ErrChanged, s.Name, m.Name)
	}
	if s.Kind == deploy.Keep && m.RestartPolicy != "no" {
		if err := e.Client.ContainerPolicy(ctx, s.Instance, "no"); err != nil {
			return err
		}
		if m.Status == "restarting" {
			if err := e.Client.ContainerStop(ctx, s.Instance, m.Grace); err != nil {
				return err
			}
		}
	}
	if err = e.Client.ContainerRename(ctx, s.Instance, s.To); cerrdefs.IsConflict(err) {
		return e.foreign(ctx, s.To, err)
	}
	return err
}

// foreign says what has a name that is needed.
func (e *Engine) foreign(ctx context.Context, name string, err error) error {
	other, inspectErr := e.Client.ContainerInspect(ctx, name)
	if inspectErr != nil {
		return fmt.Errorf("%w: %w", deploy.ErrChanged, err)
	}
	if other.Labels[composeProject] == e.Service.Project && other.Labels[composeService] == e.Service.Service {
		return fmt.Errorf("%w: %w", deploy.ErrChanged, err)
	}
	return &ForeignError{Name: name, ID: other.ID, Image: other.Image}
}

// Foreign returns what has the name of a slot and is not the service's; nil for nothing.
func (e *Engine) Foreign(ctx context.Context, names []string) error {
	for _, name := range names {
		other, err := e.Client.ContainerInspect(ctx, name)
		if dockerapi.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if other.Labels[composeProject] != e.Service.Project || other.Labels[composeService] != e.Service.Service {
			return &ForeignError{Name: name, ID: other.ID, Image: other.Image}
		}
	}
	return nil
}

// longest is how long a deploy may take from its lock on, with the way back.
func (e *Engine) longest(w deploy.Want, o deploy.Observation) time.Duration {
	slots, grace := map[int]bool{}, time.Duration(0)
	for slot := range w.Slots {
		slots[slot] = true
	}
	for _, in := range o.Instances {
		slots[in.Slot], grace = true, max(grace, in.Grace)
	}
	if e.Spec != nil && e.Spec.Config.StopGracePeriod != nil {
		grace = max(grace, time.Duration(*e.Spec.Config.StopGracePeriod))
	}
	l := e.Limits
	way := l.Settle + l.Ready + time.Duration(max(1, len(slots)))*(2*l.Ready+l.Drain+l.Up+l.Delay+grace+time.Minute)
	return time.Minute + 2*way
}

func (e *Engine) takeOn(ctx context.Context, w deploy.Want) error {
	o, err := e.Observe(ctx)
	if err != nil {
		return err
	}
	from := o.Now()
	if o.Lock != nil {
		if o.Lock.ID != w.TakeFrom {
			return &deploy.HeldError{Name: w.Name, Lock: *o.Lock}
		}
		from = o.Lock.From
		if err := e.Client.ContainerRemove(ctx, o.Lock.ID, true); err != nil && !dockerapi.IsNotFound(err) {
			return err
		}
	}
	image := e.Image.Ref
	if image == "" && len(o.Instances) > 0 {
		image = o.Instances[0].Image
		if m, err := e.Client.ContainerManaged(ctx, o.Instances[0].ID); err == nil {
			image = m.ImageID
		}
	}
	since := time.Now().UTC()
	until := since.Add(e.longest(w, o))
	_, err = e.Client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: w.Name.Lock(), HostConfig: &container.HostConfig{NetworkMode: "none"},
		Config: &container.Config{Image: image, Cmd: []string{"lock"}, Labels: map[string]string{
			marks.LabelLock: w.Name.String(), labelWho: e.Lock.Who, labelHost: e.Lock.Host, labelProcess: e.Lock.Process,
			labelSince: since.Format(time.RFC3339), labelUntil: until.Format(time.RFC3339),
			labelRun: w.Run, labelDigest: w.Digest(), labelFrom: deploy.FormatFrom(from), labelOrder: order(w.StopFirst || o.IsStopFirst()),
		}},
	})
	if cerrdefs.IsConflict(err) {
		if held, lookErr := e.lock(ctx); lookErr == nil && held != nil {
			return &deploy.HeldError{Name: w.Name, Lock: *held}
		}
	}
	return err
}

func (e *Engine) release(ctx context.Context, w deploy.Want) error {
	held, err := e.lock(ctx)
	if err != nil || held == nil || held.Run != w.Run {
		return err
	}
	return e.Client.ContainerRemove(ctx, held.ID, true)
}

// prepare makes a network or volume.
func (e *Engine) prepare(ctx context.Context, what string) error {
	kind, key, _ := strings.Cut(what, " ")
	labels := map[string]string{"fairway-deploy.project": e.Service.Project, composeProject: e.Service.Project}
	if kind == "volume" {
		v := e.Project.Volumes[key]
		maps.Copy(labels, v.Labels)
		labels["com.docker.compose.volume"] = key
		return e.Client.VolumeCreate(ctx, v.Name, v.Driver, v.DriverOpts, labels)
	}
	n := e.Project.Networks[key]
	maps.Copy(labels, n.Labels)
	labels["com.docker.compose.network"] = key
	driver := n.Driver
	if driver == "" || driver == "default" {
		driver = "bridge"
	}
	made := dockerapi.NewNetwork{Name: n.Name, Driver: driver, Options: n.DriverOpts, Labels: labels, Internal: n.Internal, Attachable: n.Attachable, IPv6: n.EnableIPv6}
	var err error
	if made.IPAM, err = ipam(n.Ipam); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	if err = e.Client.NetworkCreate(ctx, made); cerrdefs.IsConflict(err) {
		return fmt.Errorf("%w: %w", deploy.ErrChanged, err)
	}
	return err
}

// create makes a new instance, with its networks and files, and does not start it.
func (e *Engine) create(ctx context.Context, w deploy.Want, s deploy.Step) error {
	if e.Spec == nil {
		return fmt.Errorf("%w: %s is gone, and only its file says what it was", deploy.ErrChanged, s.To)
	}
	target := w.Slots[s.Slot]
	labels := map[string]string{
		labelDigest: target.Digest, labelSalt: e.Salt, labelRun: w.Run, labelImage: e.Image.Written, labelRestart: target.Restart,
		composeProject: e.Service.Project, composeService: e.Service.Service, composeNumber: strconv.Itoa(s.Slot), composeOneOff: "False",
		composeHash: "fairway-" + target.Digest, labelOrder: order(w.StopFirst),
	}
	if h := e.Spec.Config.HealthCheck; (h == nil || h.Disable) && !(h == nil && e.Image.Health) {
		labels[marks.LabelAdmit] = e.Settle.String()
	}
	made, err := form(e.Spec.Config, e.Project.Networks, e.Image.Ref, s.To, labels)
	if err != nil {
		return err
	}
	named(made.options.HostConfig, e.Project.Volumes)
	id, err := e.Client.ContainerCreate(ctx, made.options)
	if cerrdefs.IsConflict(err) {
		return e.foreign(ctx, s.To, err)
	}
	if err != nil {
		return err
	}
	err = e.complete(ctx, id, made)
	if err != nil { // a half one must not be taken for a whole one
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, e.Client.ContainerRemove(gone, id, true))
	}
	return err
}

func (e *Engine) complete(ctx context.Context, id string, made created) error {
	for _, a := range made.others {
		if err := e.Client.NetworkConnect(ctx, a.network, id, a.settings); err != nil {
			return err
		}
	}
	if len(e.Spec.Files) == 0 {
		return nil
	}
	return e.Client.ContainerFiles(ctx, id, bytes.NewReader(archive(e.Spec.Files)))
}
