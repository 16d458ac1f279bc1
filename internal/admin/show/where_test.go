package show

import (
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// A problem says whose labels it is about, as far as Docker does.
func TestWhere(t *testing.T) {
	project := map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.project.config_files": "/srv/shop/compose.yml,/srv/shop/prod.yml"}
	snapshot := &catalog.Snapshot{Services: []*catalog.Service{
		{ID: "web@docker", Instances: []*catalog.Instance{{Name: "web-1", Labels: map[string]string{"com.docker.compose.project": "old"}}, {Name: "web-2", Labels: project}}},
		{ID: "api@swarm", Labels: map[string]string{"com.docker.stack.namespace": "back"}, Instances: []*catalog.Instance{{Name: "api.1"}}},
		{ID: "lone@docker", Instances: []*catalog.Instance{{Name: "lone"}}},
	}}
	v := New(snapshot, &route.Table{}, nil)
	for _, tt := range []struct{ service, instance, want string }{
		{"web@docker", "web-2", "Compose project shop, /srv/shop/compose.yml, /srv/shop/prod.yml"},
		{"web@docker", "", "Compose project old"},
		{"api@swarm", "", "stack back"},
		{"lone@docker", "lone", ""},
		{"gone@docker", "", ""},
	} {
		if got := v.Where(route.Problem{Service: tt.service, Instance: tt.instance}); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.service, tt.instance, got, tt.want)
		}
	}
}
