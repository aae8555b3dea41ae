// Package compose holds what compose.yml hands to the services beside Sponge,
// and the tests of it: of the file, of the image, and of the roles that run as
// the file says. It has no code of its own.
package compose
