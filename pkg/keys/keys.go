// Package keys holds what only workers may know, and what edges do with the
// public half: sealed boxes around passwords and tokens, and the session
// proofs by which workers know a user without believing an edge.
//
// It must not know frames, topics or rows.
package keys

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"
)

// Size is the length of both keys in bytes; as text they are base64.
const Size = 32

// ErrSealed means that a box was not sealed for this key, or was altered.
var ErrSealed = errors.New("keys: the sealed box does not open with this worker key")

// ErrProof means that a session proof was not signed by this key, or belongs to
// another connection.
var ErrProof = errors.New("keys: the session proof does not hold")

// sealedPrefix begins a value that SealKey.Seal has sealed, as a JSON string.
const sealedPrefix = `"sealed:1:`

// SealKey is the public key that secrets are sealed with. Safe for concurrent
// use.
type SealKey [Size]byte

// WorkerKey is the root secret of all workers. Everything else derives from
// it. Safe for concurrent use.
type WorkerKey struct {
	public, private [Size]byte
	proof, outcome  []byte
	opener          opener
}

// Generate makes a new worker key, as text for a variable or a secret store.
func Generate() string {
	var root [Size]byte
	rand.Read(root[:]) // never fails
	return base64.StdEncoding.EncodeToString(root[:])
}

// ParseWorkerKey reads a worker key's text. The error never holds the text.
func ParseWorkerKey(text string) (*WorkerKey, error) {
	root, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(root) != Size {
		return nil, errors.New("a worker key is 32 bytes in base64, as `sponge keys` prints one")
	}
	derive := func(purpose string) []byte {
		key, err := hkdf.Key(sha256.New, root, nil, "sponge "+purpose, Size)
		if err != nil {
			panic(err) // only for lengths beyond the hash's limit
		}
		return key
	}
	k := &WorkerKey{proof: derive("proof"), outcome: derive("outcome")}
	copy(k.private[:], derive("seal"))
	public, err := curve25519.X25519(k.private[:], curve25519.Basepoint)
	if err != nil {
		return nil, fmt.Errorf("derive the seal key: %w", err)
	}
	copy(k.public[:], public)
	return k, nil
}

// Seal is the public key that belongs to k.
func (k *WorkerKey) Seal() SealKey { return k.public }

// ParseSealKey reads a seal key's text.
func ParseSealKey(text string) (SealKey, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != Size {
		return SealKey{}, errors.New("a seal key is 32 bytes in base64, as `sponge keys` prints one")
	}
	return SealKey(b), nil
}

// String is the key's text.
func (s SealKey) String() string { return base64.StdEncoding.EncodeToString(s[:]) }

// Seal boxes a secret's raw JSON value and returns the box as a JSON string.
// Who has many uses a Sealer.
func (s SealKey) Seal(raw []byte) ([]byte, error) {
	sealed, err := box.SealAnonymous(nil, raw, (*[Size]byte)(&s), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	out := []byte(sealedPrefix)
	out = base64.RawURLEncoding.AppendEncode(out, sealed)
	return append(out, '"'), nil
}

// Open returns the raw JSON value within a sealed one, or ErrSealed.
func (k *WorkerKey) Open(sealed []byte) ([]byte, error) {
	text, single := bytes.CutPrefix(sealed, []byte(sealedPrefix))
	text, bySealer := bytes.CutPrefix(text, []byte(sealedBySealer))
	text, ended := bytes.CutSuffix(text, []byte{'"'})
	if single == bySealer || !ended {
		return nil, ErrSealed
	}
	b, err := base64.RawURLEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, ErrSealed
	}
	var raw []byte
	var ok bool
	if bySealer {
		raw, ok = k.opener.open(b, &k.private)
	} else {
		raw, ok = box.OpenAnonymous(nil, b, &k.public, &k.private)
	}
	if !ok {
		return nil, ErrSealed
	}
	return raw, nil
}

// OutcomeID is a keyed hash that remembers a registration without revealing
// its password: 16 bytes over all parts.
func (k *WorkerKey) OutcomeID(parts ...[]byte) [16]byte {
	h := hmac.New(sha256.New, k.outcome)
	for _, p := range parts {
		binary.Write(h, binary.BigEndian, uint32(len(p)))
		h.Write(p)
	}
	return [16]byte(h.Sum(nil))
}

// SessionID names a session: the first 16 bytes of its token's SHA-256, so
// that no row or proof tells the token.
type SessionID [16]byte

// NewToken makes a session token, 256 random bits as text, and its id.
func NewToken() (token string, id SessionID) {
	var b [32]byte
	rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, TokenID(token)
}

// TokenID is the id of a token's session.
func TokenID(token string) SessionID {
	sum := sha256.Sum256([]byte(token))
	return SessionID(sum[:16])
}

// ProofSize is the length of a Proof in bytes.
const ProofSize = 8 + 16 + 8 + 16

// Proof says that a user logged in on one connection of one node, in a
// session, until an expiry. Workers make and check it; an edge only keeps it.
type Proof [ProofSize]byte

// User is whom the proof speaks of, whether or not it holds.
func (p *Proof) User() int64 { return int64(binary.BigEndian.Uint64(p[0:])) }

// Session is the session's id.
func (p *Proof) Session() SessionID { return SessionID(p[8:24]) }

// Expiry is when the proof ends, by the workers' clock, in whole seconds.
func (p *Proof) Expiry() time.Time { return time.Unix(int64(binary.BigEndian.Uint64(p[24:])), 0) }

// Prove signs a proof.
func (k *WorkerKey) Prove(user int64, session SessionID, node string, conn uint64, expiry time.Time) *Proof {
	var p Proof
	binary.BigEndian.PutUint64(p[0:], uint64(user))
	copy(p[8:], session[:])
	binary.BigEndian.PutUint64(p[24:], uint64(expiry.Unix()))
	mac := k.sign(&p, node, conn)
	copy(p[32:], mac[:16])
	return &p
}

// ClockLeeway is by how much the clocks of two workers may differ: for so long
// behind its expiry a proof still holds. Edges have theirs renewed long before,
// by no clock but their own; so this lengthens only what an edge could do that
// does not renew.
const ClockLeeway = time.Hour

// Expired reports whether the proof has ended at now, on any worker's clock.
func (p *Proof) Expired(now time.Time) bool { return now.After(p.Expiry().Add(ClockLeeway)) }

// Check returns ErrProof unless p was made by Prove for this node and
// connection, whenever that was: see Expired.
func (k *WorkerKey) Check(p *Proof, node string, conn uint64) error {
	if mac := k.sign(p, node, conn); !hmac.Equal(mac[:16], p[32:]) {
		return ErrProof
	}
	return nil
}

func (k *WorkerKey) sign(p *Proof, node string, conn uint64) []byte {
	h := hmac.New(sha256.New, k.proof)
	h.Write(p[:32])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], conn)
	h.Write(n[:])
	h.Write([]byte(node))
	return h.Sum(nil)
}
