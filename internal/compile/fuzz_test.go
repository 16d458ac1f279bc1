package compile

import (
	"strings"
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/native"
	"fairway/internal/compile/traefik"
)

// FuzzLabels: whatever a neighbour's labels are, compiling ends without panic,
// leaves the neighbour's part of the table as it is, byte by byte, and comes to
// the same when it is done again.
func FuzzLabels(f *testing.F) {
	f.Add("fairway.host=good.example\nfairway.path=/admin", "fairway.port=80", "bad@docker")
	f.Add("fairway.rule=Host(`good.example`)", "fairway.enable=false", "good@docker/admin")
	for _, k := range native.Keys() {
		name := k.Name
		if strings.HasSuffix(name, ".") {
			name += "X-A"
		}
		f.Add(catalog.LabelPrefix+name+"="+k.Example, catalog.LabelPrefix+"x."+name+"="+k.Example, "a")
	}
	for _, k := range dockerflow.Parameters() {
		f.Add("com.df.notify=true\ncom.df.port.1=80\ncom.df.servicePath=/good\ncom.df."+k.Name+"=true", "com.df.notify=true\ncom.df.servicePath=/x\ncom.df.port=6379\ncom.df.reqMode=tcp\ncom.df."+k.Name+".1=6379", "a")
	}
	for _, k := range traefik.Keys() {
		label := "traefik." + strings.ReplaceAll(k.Name, "*", "x") + "=1"
		f.Add("traefik.enable=true\ntraefik.http.routers.x.rule=Host(`good.example`)\ntraefik.http.routers.x.middlewares=x\n"+label, "traefik.enable=true\n"+label, "a")
	}
	good := neighbour(1)
	f.Fuzz(func(t *testing.T, first, second, id string) {
		if id == good.ID {
			return
		}
		settings := both()
		settings.Dialects = DialectNames()
		alone := New(settings).Compile(snapshotOf(good), nil)
		bad := &catalog.Service{ID: id, Source: "docker", Created: seconds(2), Instances: []*catalog.Instance{
			instanceWith("bad-1", parseLabels(first)), instanceWith("bad-2", parseLabels(second)),
		}}
		c := New(settings)
		table := c.Compile(snapshotOf(good, bad), alone)
		if partOf(alone, good.ID) != partOf(table, good.ID) {
			t.Fatalf("the neighbour changed:\n%s", table.Text())
		}
		for _, p := range table.Problems {
			if strings.Contains(p.Text, "fit into no table") {
				t.Fatalf("not found while reading labels: %s", p)
			}
		}
		if again := c.Compile(snapshotOf(good, bad), table); again.Text() != table.Text() {
			t.Fatalf("compiling again changes the table:\n%s\n%s", table.Text(), again.Text())
		}
	})
}

// parseLabels reads lines of key=value.
func parseLabels(text string) map[string]string {
	labels := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, "=")
		labels[key] = value
	}
	return labels
}
