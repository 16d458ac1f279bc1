package compile

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"fairway/internal/route"
)

// framingHeaders belong to the connection or to the framing of a message (RFC
// 9110, 7.6.1; RFC 9112, 6): no label changes them, in either direction.
var framingHeaders = []string{
	"Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// identityHeaders state who asks, and how: the engine writes them for each request
// from what it has verified, and a constant could only falsify them. What else begins
// with X-Forwarded- is the owner's to set: no client's reaches the service. See
// docs/decisions/012-headers-of-labels.md.
var identityHeaders = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip",
}

// headerChange is what is done to a header.
type headerChange int

const (
	headerSet headerChange = iota
	headerAdd
	headerRemove
)

func canonicalHeader(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }

// checkHeader says whether a label may change a header of requests or responses.
// Underscores count as hyphens, because services behind CGI cannot tell them
// apart.
func checkHeader(name string, request bool, change headerChange) error {
	if !isToken(name) {
		return bad("", "%s is not the name of a header", excerpt(name))
	}
	plain := canonicalHeader(strings.ReplaceAll(name, "_", "-"))
	if slices.Contains(framingHeaders, plain) {
		return bad("", "%s belongs to the connection and cannot be changed", plain)
	}
	if request && tellsIdentity(name) && change != headerRemove {
		return bad("name the proxies that are trusted to send it in fairway.yml", "%s states who asks, and only Fairway itself sets it", plain)
	}
	return nil
}

// tellsIdentity says whether a header of requests states to a service who asks.
func tellsIdentity(name string) bool {
	plain := canonicalHeader(strings.ReplaceAll(name, "_", "-"))
	return slices.Contains(identityHeaders, plain)
}

// addHeader puts one label into the operation for requests or responses. The
// value is never repeated in errors: it may be a credential.
func addHeader(op **route.HeaderOperation, request bool, change headerChange, name, value string) error {
	if err := checkHeader(name, request, change); err != nil {
		return err
	}
	if len(value) > maxHeaderBytes {
		return fmt.Errorf("the value is longer than %d bytes", maxHeaderBytes)
	}
	if *op == nil {
		*op = &route.HeaderOperation{}
	}
	v := route.HeaderValue{Name: canonicalHeader(name), Value: value}
	if change == headerAdd {
		(*op).Add = append((*op).Add, v)
	} else {
		(*op).Set = append((*op).Set, v)
	}
	return nil
}

// removeHeaders puts a list of names into the operation.
func removeHeaders(op **route.HeaderOperation, request bool, value string) error {
	names, err := readList(value)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := checkHeader(name, request, headerRemove); err != nil {
			return err
		}
		names[i] = canonicalHeader(name)
	}
	slices.Sort(names)
	if *op == nil {
		*op = &route.HeaderOperation{}
	}
	(*op).Remove = slices.Compact(names)
	return nil
}

// sortHeaders brings an operation into its canonical order.
func sortHeaders(op *route.HeaderOperation) {
	sortByName(op.Set)
	sortByName(op.Add)
}

func sortByName(list []route.HeaderValue) {
	slices.SortStableFunc(list, func(a, b route.HeaderValue) int { return strings.Compare(a.Name, b.Name) })
}
