package draft

import (
	"fmt"
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

// CheckHeader says whether a label may change a header of requests or responses.
// Underscores count as hyphens, because services behind CGI cannot distinguish
// them.
func CheckHeader(name string, request bool, change HeaderChange) error {
	if !chars.IsToken(name) {
		return Bad("", "%s is not the name of a header", chars.Excerpt(name))
	}
	plain := CanonicalHeader(strings.ReplaceAll(name, "_", "-"))
	if plain == "Host" || route.IsFraming(plain) { // no label changes them, in either direction
		return Bad("", "%s belongs to the connection and cannot be changed", plain)
	}
	if request && StatesIdentity(name) && change != HeaderRemove {
		return Bad("name the proxies that are trusted to send it in fairway.yml", "%s states who asks, and only Fairway itself sets it", plain)
	}
	return nil
}

// StatesIdentity says whether a header of requests states to a service who asks.
func StatesIdentity(name string) bool {
	plain := CanonicalHeader(strings.ReplaceAll(name, "_", "-"))
	return slices.Contains(identityHeaders, plain)
}

// AddHeader puts one label into the operation for requests or responses. The
// value is never repeated in errors: it may be a credential.
func AddHeader(op **route.HeaderOperation, request bool, change HeaderChange, name, value string) error {
	if err := CheckHeader(name, request, change); err != nil {
		return err
	}
	if len(value) > MaxHeaderBytes {
		return fmt.Errorf("the value is longer than %d bytes", MaxHeaderBytes)
	}
	if *op == nil {
		*op = &route.HeaderOperation{}
	}
	v := route.HeaderValue{Name: CanonicalHeader(name), Value: value}
	if change == HeaderAdd {
		(*op).Add = append((*op).Add, v)
	} else {
		(*op).Set = append((*op).Set, v)
	}
	return nil
}

// RemoveHeaders puts a list of names into the operation.
func RemoveHeaders(op **route.HeaderOperation, request bool, value string) error {
	names, err := ReadList(value)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := CheckHeader(name, request, HeaderRemove); err != nil {
			return err
		}
		names[i] = CanonicalHeader(name)
	}
	slices.Sort(names)
	if *op == nil {
		*op = &route.HeaderOperation{}
	}
	(*op).Remove = slices.Compact(names)
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
