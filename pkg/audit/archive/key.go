package archive

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
)

// GenerateKey makes a key pair, as text: the secret half, which only who writes
// the archive may have, and the public half, which proves what was written.
func GenerateKey() (secret, public string) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // rand.Reader never fails
	}
	return base64.StdEncoding.EncodeToString(key.Seed()), KeyText(pub)
}

// KeyText is a public key's text.
func KeyText(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// ParseKey reads a secret key's text. The error never holds the text.
func ParseKey(text string) (ed25519.PrivateKey, error) {
	seed, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("an archive's secret key is 32 bytes in base64, as `sponge audit key` prints one")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// ParsePublicKey reads a public key's text.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("an archive's public key is 32 bytes in base64, as `sponge audit key` prints one")
	}
	return key, nil
}
