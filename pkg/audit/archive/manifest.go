package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sponge/pkg/queue"
)

// manifestDir is where manifests are; they end in manifestExt.
const (
	manifestDir = "manifests/"
	manifestExt = ".json"
	maxManifest = 256 << 20 // bytes
)

// Manifest names what one run added to an archive.
type Manifest struct {
	Format    int       `json:"format"`
	Number    int64     `json:"number"`   // 1, 2, 3…
	Previous  string    `json:"previous"` // the SHA-256 of the manifest before, as it is stored, in hex; empty for the first
	Time      time.Time `json:"time"`     // when it was written, by the archiver's clock
	Namespace string    `json:"namespace"`

	// Held is all that the archive holds with this manifest, by topic and
	// partition; Next equals First where a partition had no record yet.
	Held map[string]map[int]Span `json:"held"`

	Files []File `json:"files"` // in the order in which they were written
}

// Span is a run of offsets, from First to the one before Next.
type Span struct {
	First    int64  `json:"first"`
	Next     int64  `json:"next"`
	LastHash string `json:"lastHash,omitempty"` // the last File's; empty where there is none
}

func (s Span) bounds() queue.Bounds { return queue.Bounds{First: s.First, Next: s.Next} }

// Head is the number and the SHA-256 of a manifest as it is stored: who has
// written one down can prove later that the archive still goes back to it.
type Head struct {
	Number int64
	Hash   string // in hex
}

// String is number:hash.
func (h Head) String() string { return strconv.FormatInt(h.Number, 10) + ":" + h.Hash }

// ParseHead reads what String writes.
func ParseHead(text string) (Head, error) {
	number, hash, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	b, herr := hex.DecodeString(hash)
	if err != nil || herr != nil || n < 1 || len(b) != sha256.Size {
		return Head{}, fmt.Errorf("%q is no head: a number, a colon and 64 hexadecimal digits, as `sponge audit check` prints them", text)
	}
	return Head{n, strings.ToLower(hash)}, nil
}

// manifestName is where manifest number n is stored.
func manifestName(n int64) string { return fmt.Sprintf("%s%012d%s", manifestDir, n, manifestExt) }

// seal encodes and signs a manifest: an object with the manifest itself, the
// public key, and the Ed25519 signature over the manifest's bytes as they stand
// there.
func (m *Manifest) seal(key ed25519.PrivateKey) ([]byte, error) {
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("archive: encode manifest %d: %w", m.Number, err)
	}
	return wrap(payload, key.Public().(ed25519.PublicKey), ed25519.Sign(key, payload)), nil
}

func wrap(payload []byte, key ed25519.PublicKey, signature []byte) []byte {
	return fmt.Appendf(nil, `{"manifest":%s,"publicKey":"%s","signature":"%s"}`+"\n",
		payload, KeyText(key), base64.StdEncoding.EncodeToString(signature))
}

// sealed is a manifest as it is stored.
type sealed struct {
	Manifest
	head Head
	key  ed25519.PublicKey
}

// open decodes manifest number n and checks its signature, with the key in it or
// with trusted, if that is not nil. Whether the manifest follows from the one
// before is not its business.
func open(b []byte, n int64, trusted ed25519.PublicKey) (*sealed, error) {
	name := manifestName(n)
	var version struct{ Manifest struct{ Format int } }
	if json.Unmarshal(b, &version) == nil && version.Manifest.Format > Format {
		return nil, fault(name, ErrFormat, "format %d; this program reads up to %d", version.Manifest.Format, Format)
	}
	var box struct {
		Manifest             json.RawMessage
		PublicKey, Signature []byte
	}
	if err := json.Unmarshal(b, &box); err != nil {
		return nil, fault(name, ErrManifest, "%v", err)
	}
	// Exactly what wrap makes: nothing besides, which no signature would cover.
	if len(box.PublicKey) != ed25519.PublicKeySize || !bytes.Equal(wrap(box.Manifest, box.PublicKey, box.Signature), b) {
		return nil, fault(name, ErrManifest, "there is something besides the manifest, its key and its signature")
	}
	if trusted != nil && !trusted.Equal(ed25519.PublicKey(box.PublicKey)) {
		return nil, fault(name, ErrKey, "with %s, not %s", KeyText(box.PublicKey), KeyText(trusted))
	}
	if !ed25519.Verify(box.PublicKey, box.Manifest, box.Signature) {
		return nil, fault(name, ErrSignature, "")
	}
	sum := sha256.Sum256(b)
	s := &sealed{head: Head{n, hex.EncodeToString(sum[:])}, key: box.PublicKey}
	if err := json.Unmarshal(box.Manifest, &s.Manifest); err != nil {
		return nil, fault(name, ErrManifest, "%v", err)
	}
	if s.Format < 1 {
		return nil, fault(name, ErrManifest, "it has no format")
	}
	if s.Number != n {
		return nil, fault(name, ErrNumber, "it is manifest %d", s.Number)
	}
	return s, nil
}
