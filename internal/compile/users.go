package compile

import (
	"strings"

	"fairway/internal/files"
	"fairway/internal/route"
)

// checkUserFile refuses a user file that labels may not name.
func (p planner) checkUserFile(d *draft, fault func(key string, err *refusal)) {
	if a := d.filter.BasicAuth; a != nil && a.File != "" && p.userDirs != nil && !files.Below(p.userDirs, a.File) {
		fault("basic-auth", &refusal{
			route.CodeBadValue, "the file is not below a directory that labels may name: " + strings.Join(p.userDirs, ", "),
			"put it there, or have the operator add its directory to label-files",
		})
	}
}

// userFileProblems are what is wrong with the user files of a route.
func (p planner) userFileProblems(r *route.Route) (list []route.Problem) {
	if p.userFile == nil || r.Refused != "" {
		return nil
	}
	for i := range r.Filters {
		a := r.Filters[i].BasicAuth
		if a == nil || a.File == "" {
			continue
		}
		problem := route.Problem{Source: r.Origin.Source, Service: r.Service, Instance: r.Origin.Instance, Route: r.ID, Label: userLabel(r)}
		switch unreadable, faults := p.userFile(a); {
		case unreadable != "":
			problem.Code = route.CodeUserFile
			problem.Text = printable("requests get 503, for the user file cannot be read: " + unreadable)
			problem.Hint = "put a regular file in htpasswd form there that Fairway may read; it is reread within seconds"
		case len(faults) > 0:
			problem.Code = route.CodeLockedUsers
			problem.Text = printable("the user file " + a.File + " has lines that let nobody in: " + strings.Join(faults, "; "))
			problem.Hint = "write them anew with htpasswd -B"
		default:
			continue
		}
		list = append(list, problem)
	}
	return list
}

// userLabel is the label that names the user file of a route; empty where none is
// remembered.
func userLabel(r *route.Route) (found string) {
	for key := range r.Origin.Labels {
		name := key[strings.LastIndexByte(key, '.')+1:]
		isOne := name == "basic-auth" || strings.HasPrefix(key, flowPrefix) && strings.HasPrefix(name, "usersSecret")
		if isOne && (found == "" || key < found) {
			found = key
		}
	}
	return printable(found)
}

// userFileOf says why the user file of a route cannot be read; empty when it can.
func userFileOf(p planner, r *route.Route) string {
	for _, problem := range p.userFileProblems(r) {
		if problem.Code == route.CodeUserFile {
			return problem.Text
		}
	}
	return ""
}
