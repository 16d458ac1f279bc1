package command

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"fairway/internal/deploy"
)

// who is who deploys.
func who() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "user " + strconv.Itoa(os.Getuid())
}

// started is when a process of this machine was started, in ticks; empty for none.
func started(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have anything in it
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// processID is a name that no other process has of this machine.
func processID() string {
	pid := os.Getpid()
	return fmt.Sprintf("%d/%s/%s/%s", pid, started(pid), bootID(), namespace())
}

// namespace is the one that numbers processes here: in another the same number is another's.
func namespace() string {
	text, _ := os.Readlink("/proc/self/ns/pid")
	return text
}

// isGone reports whether the process that holds a lock is known to be gone.
func isGone(l deploy.Lock) bool {
	host, err := os.Hostname()
	part := strings.Split(l.Process, "/")
	if err != nil || host != l.Host || len(part) != 4 || part[2] == "" || part[3] != namespace() {
		return false
	}
	pid, err := strconv.Atoi(part[0])
	return err == nil && (part[2] != bootID() || part[1] != started(pid))
}

// registryAuth returns the credentials that the user has for the registry of an image in the
// configuration of Docker, as the header of the engine's API; empty for none.
func registryAuth(env map[string]string, image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	dir := env["DOCKER_CONFIG"]
	if dir == "" {
		dir = filepath.Join(env["HOME"], ".docker")
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	var config struct {
		Auths map[string]struct{ Auth, IdentityToken string } `json:"auths"`
	}
	if json.Unmarshal(text, &config) != nil {
		return ""
	}
	registry := reference.Domain(named)
	names := []string{registry, "https://" + registry}
	if registry == "docker.io" {
		names = []string{"https://index.docker.io/v1/", "index.docker.io", "docker.io"}
	}
	for _, name := range names {
		found, ok := config.Auths[name]
		if !ok {
			continue
		}
		pair, _ := base64.StdEncoding.DecodeString(found.Auth)
		name, password, _ := strings.Cut(string(pair), ":")
		if name == "" && found.IdentityToken == "" {
			continue
		}
		auth, _ := json.Marshal(map[string]string{"username": name, "password": password, "identitytoken": found.IdentityToken, "serveraddress": registry})
		return base64.URLEncoding.EncodeToString(auth)
	}
	return ""
}
