package dockerapi

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
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

// sshWay forwards each connection to the engine's socket on the other machine
// (OpenSSH's direct-streamlocal), so that no program has to run there. One SSH
// session carries all of them.
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
	auth, err := sshAuth(o)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	s := &sshSession{
		address: net.JoinHostPort(u.Hostname(), port),
		socket:  u.Path,
		timeout: o.Timeout,
	}
	if s.socket == "" || s.socket == "/" {
		s.socket = DefaultSocket
	}
	s.config = &ssh.ClientConfig{
		User:              u.User.Username(),
		Auth:              auth,
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

// sshAuth offers the agent's keys first, since they may be hardware that the
// operator prefers, and then the one on file. It is one method for both: SSH
// tries each kind of method once.
func sshAuth(o Options) ([]ssh.AuthMethod, error) {
	var onFile []ssh.Signer
	if o.IdentityFile != "" {
		pem, err := os.ReadFile(o.IdentityFile)
		if err != nil {
			return nil, fmt.Errorf("read identity: %w", err)
		}
		key, err := ssh.ParsePrivateKey(pem)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			return nil, fmt.Errorf("identity %s has a passphrase: load it into an agent", o.IdentityFile)
		}
		if err != nil {
			return nil, fmt.Errorf("read identity %s: %w", o.IdentityFile, err)
		}
		onFile = append(onFile, key)
	}
	switch {
	case o.AgentSocket == "" && len(onFile) == 0:
		return nil, errors.New("ssh needs an identity file or an agent")
	case o.AgentSocket == "":
		return []ssh.AuthMethod{ssh.PublicKeys(onFile...)}, nil
	}
	held := agentSigners(o.AgentSocket, o.Timeout)
	return []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		signers, err := held()
		if err != nil && len(onFile) == 0 {
			return nil, err
		}
		return append(signers, onFile...), nil // an agent that is gone leaves the file
	})}, nil
}

// agentSigners connects to the agent anew for each signature, because agents come
// and go while Fairway runs.
func agentSigners(socket string, timeout time.Duration) func() ([]ssh.Signer, error) {
	ask := func(f func(agent.ExtendedAgent) error) error {
		conn, err := net.DialTimeout("unix", socket, timeout)
		if err != nil {
			return fmt.Errorf("reach ssh agent: %w", err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return fmt.Errorf("reach ssh agent: %w", err)
		}
		return f(agent.NewClient(conn))
	}
	return func() ([]ssh.Signer, error) {
		var signers []ssh.Signer
		err := ask(func(a agent.ExtendedAgent) error {
			keys, err := a.List()
			for _, key := range keys {
				signers = append(signers, &agentSigner{key: key, ask: ask})
			}
			return err
		})
		return signers, err
	}
}

// agentSigner signs with one key of an agent.
type agentSigner struct {
	key *agent.Key
	ask func(func(agent.ExtendedAgent) error) error
}

// PublicKey implements ssh.Signer. The agent's key is parsed so that its own
// type is seen, not the agent's wrapping.
func (s *agentSigner) PublicKey() ssh.PublicKey {
	if key, err := ssh.ParsePublicKey(s.key.Blob); err == nil {
		return key
	}
	return s.key
}

// Sign implements ssh.Signer.
func (s *agentSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner: RSA keys sign with SHA-2,
// as servers no longer take SHA-1.
func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	var flags agent.SignatureFlags
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = agent.SignatureFlagRsaSha256
	case ssh.KeyAlgoRSASHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	var sig *ssh.Signature
	err := s.ask(func(a agent.ExtendedAgent) error {
		var err error
		sig, err = a.SignWithFlags(s.PublicKey(), data, flags)
		return err
	})
	return sig, err
}

// knownAlgorithms returns the kinds of host key on file for address, so that
// the other side is asked for one of those: a host known by one key and showing
// another would look like an impostor. Nil leaves the choice open.
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

// sshSession is the shared connection to the other machine, made when first
// needed and made again after it broke.
type sshSession struct {
	address string
	socket  string
	timeout time.Duration
	config  *ssh.ClientConfig

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

// session returns the live session or makes one. Only one caller connects at a
// time; the others wait for it no longer than its deadline.
func (s *sshSession) session(ctx context.Context) (*ssh.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		return s.live, nil
	}
	d := net.Dialer{Timeout: s.timeout}
	conn, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("ssh: %w", err)
	}
	// The handshake knows no context: a deadline bounds it, and closing the
	// connection ends it when ctx does.
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			return nil, fmt.Errorf("ssh: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, s.address, s.config)
	if err != nil {
		stop()
		conn.Close()
		return nil, err // says ssh itself
	}
	if !stop() {
		c.Close()
		return nil, fmt.Errorf("ssh: %w", context.Cause(ctx))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		c.Close()
		return nil, fmt.Errorf("ssh: %w", err)
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
