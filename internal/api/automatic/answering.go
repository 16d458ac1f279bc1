package automatic

import (
	"cmp"
	"strings"
	"time"
)

// Where a certificate that answers comes from.
const (
	FromACME        = "acme"        // Fairway has got it from a certificate authority
	FromInternal    = "internal"    // Fairway's own authority has issued it
	FromLabel       = "label"       // the label fairway.tls names its file
	FromFile        = "file"        // the configuration names it, or it was sent to Fairway
	FromPlaceholder = "placeholder" // self-signed, while there is no other
)

// Answering is the certificate that a client is shown who asks for a host over HTTPS, and what
// its handshake must have.
type Answering struct {
	// ServerName is the one that the client asks for; left out for an address, for which it asks
	// for none.
	ServerName string `json:"serverName,omitempty"`
	// Listener is the name of the listener.
	Listener string `json:"listener"`
	// From is one of the constants; left out where no certificate is shown: the handshake fails.
	From string `json:"from,omitempty"`
	// Covers is true when the certificate has the name; else clients are warned.
	Covers bool `json:"covers"`
	// What follows is of the certificate, as in Certificates; left out without one.
	File     string    `json:"file,omitempty"`
	State    string    `json:"state,omitempty"`
	Error    string    `json:"error,omitempty"`
	Names    []string  `json:"names,omitempty"`
	Issuer   string    `json:"issuer,omitempty"`
	Key      string    `json:"key,omitempty"`
	NotAfter time.Time `json:"notAfter,omitzero"`
	// Ends says in words when it ends or has ended.
	Ends string `json:"ends,omitempty"`
	// Text says what is wrong, Hint what to do; left out for nothing.
	Text string `json:"text,omitempty"`
	Hint string `json:"hint,omitempty"`
	// Order is what Fairway does about a certificate of its own for the host, and by whose wish;
	// left out where it gets none, and then NoOrder says why, where that is known.
	Order   *Managed `json:"order,omitempty"`
	NoOrder string   `json:"noOrder,omitempty"`
	// Next says in words when the next order is; left out without Order.
	Next string `json:"next,omitempty"`
	// Authority is why the certificate authority cannot be used; left out when it can, and
	// where it is not asked for the host.
	Authority *Trouble `json:"authority,omitempty"`
	// Handshake is what a handshake for the server name must have.
	Handshake Handshake `json:"handshake"`
}

// Handshake is what a listener demands of handshakes for a host.
type Handshake struct {
	// MinVersion is 1.2 or 1.3.
	MinVersion string `json:"minVersion"`
	// Curves are the key exchanges; left out for those of the engine.
	Curves []string `json:"curves,omitempty"`
	// Protocols are those that can be agreed on: h2, http/1.1, and h3 over QUIC. Never null.
	Protocols []string `json:"protocols"`
	// Client is what becomes of clients without a certificate of their own: "required" lets none
	// in, "checked" lets them in; left out where they are not asked for one.
	Client string `json:"client,omitempty"`
	// ClientCA is the file of the authorities whose certificates clients may have.
	ClientCA string `json:"clientCA,omitempty"`
	// Record is the entry of tls.hosts that demands it; left out for none.
	Record string `json:"record,omitempty"`
}

// What is done about certificates of clients.
const (
	ClientRequired = "required"
	ClientChecked  = "checked"
)

// Summary says in words which certificate is shown, until when, and by whose wish.
func (a Answering) Summary() string {
	if a.From == "" {
		return "none is shown: the handshake fails"
	}
	text := cmp.Or(a.Issuer, a.File)
	if a.From == FromPlaceholder {
		text = "a placeholder"
	}
	switch {
	case strings.HasPrefix(a.Ends, "in "):
		text += ", ends " + a.Ends
	case a.Ends != "":
		text += ", " + a.Ends
	}
	return text + ", " + a.Origin()
}

// Origin says in words where the certificate comes from, and by whose wish.
func (a Answering) Origin() string {
	switch a.From {
	case FromACME, FromInternal:
		text := "got from a certificate authority"
		if a.From == FromInternal {
			text = "issued by Fairway's own authority"
		}
		if a.Order != nil {
			text += a.Order.Wish()
		}
		return text
	case FromLabel:
		return "from the file of the label fairway.tls: " + a.File
	case FromFile:
		return "from the file " + a.File
	case FromPlaceholder:
		return "self-signed, while there is no other"
	}
	return ""
}

// Wish says in words which label of which service wants it: " for the label ... of ..."; empty
// where no route has the host any more.
func (m Managed) Wish() string {
	switch {
	case m.Service == "":
		return ""
	case m.Label == "":
		return " for " + m.Service
	}
	return " for the label " + m.Label + " of " + m.Service
}

// Demands says in words what is demanded beyond what is usual; empty for nothing.
func (h Handshake) Demands() string {
	var all []string
	switch h.Client {
	case ClientRequired:
		all = append(all, "clients must have a certificate of "+h.ClientCA)
	case ClientChecked:
		all = append(all, "clients may have a certificate of "+h.ClientCA)
	}
	if h.MinVersion == "1.3" {
		all = append(all, "TLS "+h.MinVersion+" at least")
	}
	return strings.Join(all, ", ")
}

// Doing says in words what Fairway does about a certificate of its own for the host; empty for
// nothing, and where that is not known.
func (a Answering) Doing() string {
	switch {
	case a.Order == nil && a.NoOrder == "":
		return ""
	case a.Order == nil:
		return "none: " + a.NoOrder
	case a.Order.Error != "":
		return a.Order.State + ": " + a.Order.Error
	}
	return a.Order.State
}
