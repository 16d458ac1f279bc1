package compile

import (
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/route"
)

func (p planner) userFileProblems(r *route.Route, label string) (list []route.Problem) {
	if p.UserFile == nil || r.Refused != "" {
		return nil
	}
	for i := range r.Filters {
		a := r.Filters[i].BasicAuth
		if a == nil || a.File == "" {
			continue
		}
		problem := route.Problem{Source: r.Origin.Source, Service: r.Service, Instance: r.Origin.Instance, Route: r.ID, Label: chars.Printable(label)}
		switch unreadable, faults := p.UserFile(a); {
		case unreadable != "":
			problem.Code = route.CodeUserFile
			problem.Text = chars.Printable("requests get 503, for the user file cannot be read: " + unreadable)
			problem.Hint = "put a regular file in htpasswd form there that Fairway may read; it is reread within seconds"
		case len(faults) > 0:
			problem.Code = route.CodeLockedUsers
			problem.Text = chars.Printable("the user file " + a.File + " has lines that lock their user: " + strings.Join(faults, "; "))
			problem.Hint = "write them anew with htpasswd -B"
		default:
			continue
		}
		list = append(list, problem)
	}
	return list
}

// userFileOf says why the user file of a route cannot be read; empty when it can.
func userFileOf(p planner, r *route.Route) string {
	for _, problem := range p.userFileProblems(r, "") {
		if problem.Code == route.CodeUserFile {
			return problem.Text
		}
	}
	return ""
}
