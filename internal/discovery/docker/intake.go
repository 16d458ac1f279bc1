package docker

import (
	"hash/maphash"
	"maps"
	"reflect"
	"slices"

	"fairway/internal/dockerapi"
)

// labelNumber is the one label in which the copies of a Compose service differ. Their name
// has the number, too; without it they share one set of labels.
const labelNumber = "com.docker.compose.container-number"

// intake takes in what one list has, and holds nothing twice: neither what is known from
// the list before, nor what containers of the same list have in common.
type intake struct {
	known  map[string]*dockerapi.Container // by ID; never written
	texts  map[string]string
	ports  []dockerapi.Port             // of the container before: copies of a service come one after the other
	labels map[uint64]map[string]string // by their hash
	seed   maphash.Seed
}

func newIntake(known map[string]*dockerapi.Container) *intake {
	return &intake{known: known, texts: map[string]string{}, labels: map[uint64]map[string]string{}, seed: maphash.MakeSeed()}
}

// container returns what is known of a container where the list says nothing new, else what
// the list says.
func (in *intake) container(found dockerapi.Container) *dockerapi.Container {
	delete(found.Labels, labelNumber)
	c := new(found)
	before := in.known[c.ID]
	if before == nil {
		in.share(c)
		return c
	}
	share(c, before)
	if complete(c, before); reflect.DeepEqual(c, before) {
		return before
	}
	return c
}

// share gives a container the texts and labels that others of the list have.
func (in *intake) share(c *dockerapi.Container) {
	for _, text := range []*string{&c.Image, &c.Status, &c.Health, &c.NetworkMode} {
		*text = in.text(*text)
	}
	for i := range c.Attachments {
		at := &c.Attachments[i]
		at.Network, at.NetworkID = in.text(at.Network), in.text(at.NetworkID)
	}
	if !slices.Equal(c.Ports, in.ports) {
		for i := range c.Ports {
			c.Ports[i].Protocol = in.text(c.Ports[i].Protocol)
		}
		in.ports = c.Ports
	}
	c.Ports = in.ports
	if c.Labels == nil {
		return
	}
	hash := in.hash(c.Labels)
	same := in.labels[hash]
	if !maps.Equal(same, c.Labels) {
		same = make(map[string]string, len(c.Labels))
		for k, v := range c.Labels {
			same[in.text(k)] = in.text(v)
		}
		in.labels[hash] = same
	}
	c.Labels = same
}

func (in *intake) text(s string) string {
	if has, ok := in.texts[s]; ok {
		return has
	}
	in.texts[s] = s
	return s
}

// hash is the same for the same labels in another order.
func (in *intake) hash(labels map[string]string) (sum uint64) {
	for k, v := range labels {
		sum += maphash.Comparable(in.seed, [2]string{k, v})
	}
	return sum
}

// share gives a container the texts, labels and lists of an older form of it, where they are
// the same.
func share(c, before *dockerapi.Container) {
	for _, text := range [...]struct{ now, was *string }{
		{&c.ID, &before.ID},
		{&c.Name, &before.Name},
		{&c.Image, &before.Image},
		{&c.Status, &before.Status},
		{&c.Health, &before.Health},
		{&c.NetworkMode, &before.NetworkMode},
		{&c.Hostname, &before.Hostname},
	} {
		if *text.now == *text.was {
			*text.now = *text.was
		}
	}
	if maps.Equal(c.Labels, before.Labels) {
		c.Labels = before.Labels
	}
	if slices.Equal(c.Attachments, before.Attachments) {
		c.Attachments = before.Attachments
	}
	if slices.Equal(c.Ports, before.Ports) {
		c.Ports = before.Ports
	}
	if maps.Equal(c.Variables, before.Variables) {
		c.Variables = before.Variables
	}
	if slices.Equal(c.Exposed, before.Exposed) {
		c.Exposed = before.Exposed
	}
}

// complete gives what a list has of a container what only an inspection has, where that is known.
// It changes with a start alone, which is an event.
func complete(listed, known *dockerapi.Container) {
	if !known.Inspected {
		return
	}
	listed.Image, listed.StopSignal, listed.Exposed, listed.Variables = known.Image, known.StopSignal, known.Exposed, known.Variables
	listed.Env = known.Env
	listed.Started, listed.Restarts, listed.Hostname, listed.Inspected = known.Started, known.Restarts, known.Hostname, true
	if known.Status == listed.Status && known.Health == listed.Health {
		listed.Detail = known.Detail
	}
}
