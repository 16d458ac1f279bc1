package dockerapi

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshWay forwards each connection to the engine's socket on the other machine (OpenSSH's
// direct-streamlocal). One SSH session carries all of them.
func sshWay(u *url.URL, o Options) (*way, error) {
	if u.Hostname() == "" || u.User == nil || u.User.Username() == "" {
		return nil, errors.New("want ssh://user@host[:port][/path/of/socket]")
	}
	if len(o.KnownHosts) == 0 {
		return nil, errors.New("ssh needs a known-hosts file: an unknown host could be anybody")
	}
	check, err := knownhosts.New(o.KnownHosts...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	onFile, err := identity(o)
	if err != nil {
		return nil, err
	}
	port := cmp.Or(u.Port(), "22")
	s := &sshSession{
		address: net.JoinHostPort(u.Hostname(), port),
		socket:  u.Path,
		timeout: o.Timeout,
		onFile:  onFile,
		agent:   o.AgentSocket,
	}
	if s.socket == "" || s.socket == "/" {
		s.socket = DefaultSocket
	}
	s.config = ssh.ClientConfig{
		User:              u.User.Username(),
		HostKeyCallback:   check,
		HostKeyAlgorithms: knownAlgorithms(check, s.address),
		Timeout:           o.Timeout,
	}
	return &way{
		host:    Host{Name: u.Hostname()},
		address: "tcp://" + s.address, // only for the Host header; dial decides
		dial:    s.dial,
		reset:   s.reset,
	}, nil
}

// identity is the key on file; none is an error without an agent.
func identity(o Options) ([]ssh.Signer, error) {
	if o.IdentityFile == "" && o.AgentSocket == "" {
		return nil, errors.New("ssh needs an identity file or an agent")
	}
	if o.IdentityFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.IdentityFile)
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	key, err := ssh.ParsePrivateKey(pem)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, fmt.Errorf("identity %s has a passphrase: load it into an agent", o.IdentityFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read identity %s: %w", o.IdentityFile, err)
	}
	return []ssh.Signer{key}, nil
}

// knownAlgorithms returns the kinds of host key on file for address; nil leaves the choice
// open. A host known by one key and showing another would look like an impostor.
func knownAlgorithms(check ssh.HostKeyCallback, address string) []string {
	// No host has this key, so the refusal lists those it has.
	nobody, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var refused *knownhosts.KeyError
	if !errors.As(check(address, &net.TCPAddr{IP: net.IPv4zero}, nobody), &refused) {
		return nil
	}
	var algorithms []string
	for _, known := range refused.Want {
		kind := known.Key.Type()
		if kind == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, kind)
		}
	}
	slices.Sort(algorithms)
	return slices.Compact(algorithms)
}

// sshSession is the shared connection to the other machine, made when it is needed.
type sshSession struct {
	address string
	socket  string
	timeout time.Duration
	config  ssh.ClientConfig // without Auth
	onFile  []ssh.Signer     // at most one key
	agent   string           // the path of the agent's socket; empty for none

	mu   sync.Mutex
	live *ssh.Client // nil while there is none
}

// dial opens a connection to the engine's socket.
func (s *sshSession) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	session, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := session.DialContext(ctx, "unix", s.socket)
	if err != nil {
		// A session that cannot carry a connection is given up, unless the
		// other side merely refused this one.
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			s.drop(session)
		}
		return nil, fmt.Errorf("reach %s through ssh: %w", s.socket, err)
	}
	return conn, nil
}

// signers are the agent's keys, and then the one on file. The agent is reached anew for
// each session, as agents come and go; done ends that.
func (s *sshSession) signers() (signers []ssh.Signer, done func(), err error) {
	if s.agent == "" {
		return s.onFile, func() {}, nil
	}
	done = func() {}
	conn, err := net.DialTimeout("unix", s.agent, s.timeout)
	if err == nil {
		done = func() { _ = conn.Close() }
		if err = conn.SetDeadline(time.Now().Add(s.timeout)); err == nil {
			signers, err = agent.NewClient(conn).Signers()
		}
	}
	if err != nil && len(s.onFile) == 0 {
		done()
		return nil, nil, fmt.Errorf("reach ssh agent: %w", err)
	}
	return append(signers, s.onFile...), done, nil // an agent that is gone leaves the file
}

// session returns the live session or makes one. One caller connects at a time; the others
// wait no longer than its deadline.
func (s *sshSession) session(ctx context.Context) (*ssh.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		return s.live, nil
	}
	signers, done, err := s.signers()
	if err != nil {
		return nil, err
	}
	defer done()
	config := s.config
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(signers...)}
	d := net.Dialer{Timeout: s.timeout}
	conn, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("ssh: %w", err)
	}
	// The handshake knows no context: closing the connection ends it when ctx does.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, s.address, &config)
	if !stop() {
		conn.Close()
		return nil, fmt.Errorf("ssh: %w", context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, err // says ssh itself
	}
	session := ssh.NewClient(c, channels, requests)
	s.live = session
	go func() {
		_ = session.Wait() // however it ended, the next dial starts over
		s.drop(session)
	}()
	return session, nil
}

// drop forgets session, if it still is the live one, and closes it.
func (s *sshSession) drop(session *ssh.Client) {
	s.mu.Lock()
	if s.live == session {
		s.live = nil
	}
	s.mu.Unlock()
	_ = session.Close()
}

// reset closes the live session and with it every connection through it.
func (s *sshSession) reset() {
	s.mu.Lock()
	session := s.live
	s.mu.Unlock()
	if session != nil {
		s.drop(session)
	}
}
