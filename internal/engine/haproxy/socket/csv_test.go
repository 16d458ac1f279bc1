package socket

import "testing"

func TestCSV(t *testing.T) {
	const printed = "# pxname,svname,scur,desc,\ns-1,v1,3,\"a, \"\"b\"\"\",\ns-1,BACKEND,4,,\nspare,BACKEND,0,,\n"
	s, err := ParseStats(printed)
	if err != nil {
		t.Fatal(err)
	}
	same := s.CSV(func(r Row) (string, string, bool) { return r.Proxy(), r.Server(), true })
	if string(same) != printed {
		t.Errorf("written as\n%swant\n%s", same, printed)
	}
	named := s.CSV(func(r Row) (string, string, bool) { return "shop, the", r.Server(), r.Proxy() == "s-1" })
	if want := "# pxname,svname,scur,desc,\n\"shop, the\",v1,3,\"a, \"\"b\"\"\",\n\"shop, the\",BACKEND,4,,\n"; string(named) != want {
		t.Errorf("written as\n%swant\n%s", named, want)
	}
}
