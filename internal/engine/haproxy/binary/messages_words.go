package binary

import (
	"slices"
	"strings"
)

// fileWords are the words in which HAProxy and the system speak of files. A word
// of another file that happens to be among them gives nothing away.
var fileWords = strings.Fields(`
	a abort acl address addresses alert allowed already an and args argument arguments as at backend been before
	bind binding but by bytes ca can cannot certificate certificates chain character check column command condition
	configuration connect contains converter could crl crt denied detected dh did directories directory do does
	duplicate empty end engine entry errno error errors execute exist exists expected expects expression failed
	failure fatal fetch file files filter first for format found from frontend function global have header http
	https in include incompatible initialize integer into invalid ip ipv4 ipv6 is it its key keyword keywords kind
	length likely line lines list listen load loaded lua many map match matching maybe mean method missing mode
	more must name named near needs network no not number occurred of on one only open opening operation option
	options or out parameter params parse parsed parser parsing pattern patterns pem permission permitted position
	private processing proxy quote range read reading reason reference regex regular request resolve response
	return rule rules runtime sample section server short size skipping socket spoe ssl starting stat state string
	such supported syntax table target tcp than that the there this tls to too truncated type unable unexpected
	unix unknown unless unmatched unsupported usable use used user using valid value variable version warning was
	when while will with without wrong yet you
`)

func isFileWord(word string) bool { return slices.Contains(fileWords, strings.ToLower(word)) }
