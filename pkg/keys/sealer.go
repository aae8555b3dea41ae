package keys

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// sealedBySealer begins a value that a Sealer has sealed: the public half of
// its pair, a random nonce and the box.
const sealedBySealer = `"sealed:2:`

const nonceSize = 24

// pairTime is for how long a Sealer uses a key pair. Whoever reads an edge's
// memory can open what was sealed with the pair that is there, the last one.
const pairTime = time.Minute

// Sealer seals secrets for a SealKey as SealKey.Seal does, but with a key pair
// that serves for a minute instead of one for each: making one costs a hundred
// times the box. Safe for concurrent use.
type Sealer struct {
	to SealKey

	mu    sync.Mutex // guards the following
	pair  *pair
	until time.Time
}

// pair is what is kept of a key pair.
type pair struct{ public, shared [Size]byte }

// NewSealer seals for a key.
func NewSealer(to SealKey) *Sealer { return &Sealer{to: to} }

// Seal boxes a secret's raw JSON value and returns the box as a JSON string.
func (s *Sealer) Seal(raw []byte) ([]byte, error) {
	p, err := s.current()
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails
	sealed := make([]byte, 0, Size+nonceSize+box.Overhead+len(raw))
	sealed = append(append(sealed, p.public[:]...), nonce[:]...)
	sealed = box.SealAfterPrecomputation(sealed, raw, &nonce, &p.shared)
	out := make([]byte, 0, len(sealedBySealer)+base64.RawURLEncoding.EncodedLen(len(sealed))+1)
	out = base64.RawURLEncoding.AppendEncode(append(out, sealedBySealer...), sealed)
	return append(out, '"'), nil
}

func (s *Sealer) current() (*pair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.pair == nil || now.After(s.until) {
		public, private, err := box.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		p := &pair{public: *public}
		box.Precompute(&p.shared, (*[Size]byte)(&s.to), private)
		s.pair, s.until = p, now.Add(pairTime)
	}
	return s.pair, nil
}

// opener opens what Sealers have sealed. It remembers the pairs that it met.
type opener struct {
	mu     sync.Mutex
	shared map[[Size]byte]*[Size]byte // guarded by mu; by the public half
}

// maxPairs bounds the pairs that are remembered; beyond it begins anew. Each
// edge has a new one every minute.
const maxPairs = 1024

// open returns what is in a Sealer's box.
func (o *opener) open(sealed []byte, private *[Size]byte) (raw []byte, ok bool) {
	// Curve25519 leaves the highest bit of a public key out of account, and no
	// key has it set: no two texts are the same box.
	if len(sealed) < Size+nonceSize || sealed[Size-1]&0x80 != 0 {
		return nil, false
	}
	public, nonce := [Size]byte(sealed), [nonceSize]byte(sealed[Size:])
	o.mu.Lock()
	shared := o.shared[public]
	o.mu.Unlock()
	known := shared != nil
	if !known {
		shared = new([Size]byte)
		box.Precompute(shared, &public, private)
	}
	raw, ok = box.OpenAfterPrecomputation(nil, sealed[Size+nonceSize:], &nonce, shared)
	if ok && !known {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.shared == nil || len(o.shared) >= maxPairs {
			o.shared = map[[Size]byte]*[Size]byte{}
		}
		o.shared[public] = shared
	}
	return raw, ok
}
