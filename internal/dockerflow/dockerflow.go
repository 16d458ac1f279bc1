// Package dockerflow is the compatibility API of Docker Flow: that of Docker Flow Proxy, which
// receives services, and that of its Swarm Listener, which announces them.
//
// A call to the proxy's API becomes a posted service with com.df.* labels, which is compiled
// like every other; the listener turns the difference of two snapshots into calls to its
// receivers.
package dockerflow

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// LabelPrefix begins the labels of Docker Flow.
const LabelPrefix = catalog.FlowLabelPrefix

// Source is the name of the source of posted services; it ends their IDs.
const Source = "posted"

const (
	proxyPath    = "/v1/docker-flow-proxy/"
	listenerPath = "/v1/docker-flow-swarm-listener/"
)

// The words of the Status field.
const (
	statusOK  = "OK"
	statusNOK = "NOK"
)

const maxBody = 2 << 20

// masked stands for a password or a key in an answer.
const masked = "*****"

func hideLabel(string, string) string { return route.Masked }

// serve answers a call, unless a browser makes it for a page of another origin: the APIs ask
// for no credentials. Programs send neither header.
func serve(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	site := r.Header.Get("Sec-Fetch-Site")
	foreign := site != "" && site != "none" && site != "same-origin"
	if origin := r.Header.Get("Origin"); origin != "" {
		_, host, _ := strings.Cut(origin, "://")
		foreign = foreign || !strings.EqualFold(host, r.Host)
	}
	if foreign {
		http.Error(w, "refused: a page of another origin has made this request", http.StatusForbidden)
		return
	}
	mux.ServeHTTP(w, r)
}

// handle serves a path, and redirects its form with a slash behind it.
func handle(mux *http.ServeMux, path string, f http.HandlerFunc) {
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		f(w, r)
	})
	mux.HandleFunc(path+"/{$}", func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: path, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.RequestURI(), http.StatusMovedPermanently)
	})
}

// answer writes a value as JSON, without escapes for HTML.
func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // The caller is gone when this fails.
}

type reply struct {
	Status  string
	Message string `json:",omitempty"`
}
