package docker

import (
	"io/fs"
	"path"
	"strings"
)

// SelfID returns the ID of the container that this process runs in, or "" when
// it runs in none or the traces do not say. root is the file system as the process
// sees it: os.DirFS("/").
//
// The surest trace is the file that Docker mounts on /etc/hostname out of the
// container's directory; next the control group's path; last, where Docker left
// its mark /.dockerenv, a host name that looks like a short ID. The last one is a
// prefix of the ID.
func SelfID(root fs.FS) string {
	read := func(name string) string {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return "" // no trace is an answer, too
		}
		return string(text)
	}
	if id := idFromMounts(read("proc/self/mountinfo")); id != "" {
		return id
	}
	if id := idFromControlGroups(read("proc/self/cgroup")); id != "" {
		return id
	}
	if _, err := fs.Stat(root, ".dockerenv"); err == nil {
		return idFromHostName(strings.TrimSpace(read("etc/hostname")))
	}
	return ""
}

// idFromMounts looks at the lines of mountinfo (proc(5)): field 4 is the mounted
// path on its file system, field 5 where it is seen. Only what is mounted over this
// process's own files counts; the host itself sees the mounts of all containers.
func idFromMounts(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		switch fields[4] {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
		default:
			continue
		}
		dir := path.Dir(fields[3])
		if id := path.Base(dir); path.Base(path.Dir(dir)) == "containers" && isFullID(id) {
			return id
		}
	}
	return ""
}

// idFromControlGroups looks at the last element of the paths: "/docker/<id>" or
// "…/docker-<id>.scope".
func idFromControlGroups(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		_, p, ok := strings.Cut(strings.TrimSpace(line), ":/")
		if !ok {
			continue
		}
		id := strings.TrimSuffix(strings.TrimPrefix(path.Base(p), "docker-"), ".scope")
		if isFullID(id) {
			return id
		}
	}
	return ""
}

func idFromHostName(name string) string {
	if len(name) == 12 && isHex(name) {
		return name
	}
	return ""
}

func isFullID(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
