package draft

import (
	"reflect"
	"slices"
	"testing"

	"fairway/internal/route"
)

// TestBeforeRedirect: of each two filters of which one redirects to https, Filters has those first that
// BeforeRedirect says.
func TestBeforeRedirect(t *testing.T) {
	kinds := reflect.TypeFor[route.Filter]()
	for i := range kinds.NumField() {
		switch kinds.Field(i).Name {
		case "RedirectHTTPS", "RewritePath", "Maintenance": // rewrites are in Draft.Rewrites, and no label asks for maintenance
			continue
		}
		d := New("")
		d.Filter.RedirectHTTPS = &route.RedirectHTTPS{}
		v := reflect.ValueOf(&d.Filter).Elem().Field(i)
		v.Set(reflect.New(v.Type().Elem()))
		list := d.Filters()
		at := slices.IndexFunc(list, func(f route.Filter) bool { return f.RedirectHTTPS != nil })
		if len(list) != 2 {
			t.Errorf("%s: %d filters", kinds.Field(i).Name, len(list))
		} else if BeforeRedirect(list[1-at]) != (at == 1) {
			t.Errorf("%s: BeforeRedirect says %t, and the redirect is filter %d of %d", kinds.Field(i).Name, BeforeRedirect(list[1-at]), at, len(list))
		}
	}
}
