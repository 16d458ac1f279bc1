// Package body reads the JSON that operations of the admin API are sent, and refuses what can
// be read in two ways.
package body

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"fairway/internal/api"
)

// Decode decodes the JSON that an operation was sent into v, a pointer to a
// struct. It refuses a field that v does not know, a name that is there twice (RFC 8259,
// section 4, does not say which counts), and what is not called JSON, as forms cannot.
func Decode(r *http.Request, v any) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return api.Errorf(http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json")
	}
	data, err := io.ReadAll(r.Body)
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err = dec.Decode(v)
		if _, more := dec.Token(); err == nil && !errors.Is(more, io.EOF) {
			err = errors.New("there is something behind the JSON")
		}
	}
	if err == nil {
		err = namesOnce(json.NewDecoder(bytes.NewReader(data)), reflect.TypeOf(v))
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return api.Errorf(http.StatusRequestEntityTooLarge, "more than %d bytes", long.Limit)
	case err != nil:
		return api.Errorf(http.StatusBadRequest, "the body is not what is asked for: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// namesOnce fails when an object of a JSON text, which was decoded into a t, has a name
// twice. Where the object is a struct, case does not count, as it does not in decoding.
func namesOnce(dec *json.Decoder, t reflect.Type) error {
	begin, _ := dec.Token() // the text was decoded before
	if begin != json.Delim('{') && begin != json.Delim('[') {
		return nil
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	names := map[string]bool{}
	for dec.More() {
		name := ""
		if begin == json.Delim('{') {
			token, _ := dec.Token()
			name, _ = token.(string)
			same := name
			if t != nil && t.Kind() == reflect.Struct {
				same = strings.ToLower(strings.ToUpper(name)) // all that strings.EqualFold takes for one
			}
			if names[same] {
				return fmt.Errorf("%q is there twice", name)
			}
			names[same] = true
		}
		if err := namesOnce(dec, elementOf(t, name)); err != nil {
			return err
		}
	}
	_, _ = dec.Token() // the end of the object or list
	return nil
}

// elementOf is the type of an element of t, or of a field; nil where it is not known.
func elementOf(t reflect.Type, name string) reflect.Type {
	if t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array:
		return t.Elem()
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if strings.EqualFold(cmp.Or(tag, f.Name), name) {
				return f.Type
			}
		}
	}
	return nil
}
