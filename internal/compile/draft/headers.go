package draft

import (
	"net/textproto"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/route"
)

// identityHeaders state who asks, and how: the engine writes them for each request
// from what it has verified, and a constant could only falsify them. What else begins
// with X-Forwarded- is the owner's to set: no client's reaches the service. See
// docs/decisions/012-headers-of-labels.md.
var identityHeaders = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip",
}

// HeaderChange is what is done to a header.
type HeaderChange int

// The changes of headers.
const (
	HeaderSet HeaderChange = iota
	HeaderAdd
	HeaderRemove
)

// CanonicalHeader writes the name of a header in its canonical form.
func CanonicalHeader(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }

// ReadHeader reads a header that a label changes in requests or responses, in its
// canonical form. Underscores count as hyphens, because services behind CGI cannot
// distinguish them. The value is never repeated in errors: it may be a credential.
func ReadHeader(name, value string, request bool, change HeaderChange) (route.HeaderValue, error) {
	v := route.HeaderValue{Name: CanonicalHeader(name), Value: value}
	plain := CanonicalHeader(strings.ReplaceAll(name, "_", "-"))
	switch {
	case !chars.IsToken(name):
		return v, Bad("", "%s is not the name of a header", chars.Excerpt(name))
	case plain == "Host" || route.IsFraming(plain): // no label changes them, in either direction
		return v, Bad("", "%s belongs to the connection and cannot be changed", plain)
	case request && StatesIdentity(name) && change != HeaderRemove:
		return v, Bad("name the proxies that are trusted to send it in fairway.yml", "%s states who asks, and only Fairway itself sets it", plain)
	case len(value) > MaxHeaderBytes:
		return v, Bad("", "the value is longer than %d bytes", MaxHeaderBytes)
	}
	return v, nil
}

// StatesIdentity says whether a header of requests states to a service who asks.
func StatesIdentity(name string) bool {
	plain := CanonicalHeader(strings.ReplaceAll(name, "_", "-"))
	return slices.Contains(identityHeaders, plain)
}

// ChangeHeader puts one change into the operation for requests or responses.
func ChangeHeader(op **route.HeaderOperation, request bool, change HeaderChange, name, value string) error {
	v, err := ReadHeader(name, value, request, change)
	if err != nil {
		return err
	}
	if *op == nil {
		*op = &route.HeaderOperation{}
	}
	switch change {
	case HeaderSet:
		(*op).Set = append((*op).Set, v)
	case HeaderAdd:
		(*op).Add = append((*op).Add, v)
	case HeaderRemove:
		(*op).Remove = append((*op).Remove, v.Name)
	}
	return nil
}

// sortByName brings headers into their canonical order.
func sortByName(list []route.HeaderValue) {
	slices.SortStableFunc(list, func(a, b route.HeaderValue) int { return strings.Compare(a.Name, b.Name) })
}

// Hidden shows nothing of the value of a label.
func Hidden(string, string) string { return route.Masked }

// ShownHeader shows the value of a header that is none for credentials.
func ShownHeader(name, value string) string {
	if route.Credential(name) {
		return route.Masked
	}
	return value
}
