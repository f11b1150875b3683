/** @file A certificate for a name, signed by itself, for servers of tests: X.509 (RFC 5280) in DER, and its key. */

import { generateKeyPairSync, sign } from 'node:crypto'

/** Tag, length and what they hold. */
function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts)
const identifier = (hex: string): Buffer => der(6, Buffer.from(hex, 'hex'))
const octets = (content: Uint8Array): Buffer => der(4, content)
const utcTime = (date: Date): Buffer => der(0x17, Buffer.from(`${date.toISOString().replace(/\D/g, '').slice(2, 14)}Z`))

const ECDSA_WITH_SHA256 = sequence(identifier('2a8648ce3d040302'))
const DAY = 86_400_000

/** PEM of a certificate for `host` that counts for two days, and of its key. */
export function selfSigned(host: string): { readonly cert: string; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = sequence(der(0x31, sequence(identifier('550403'), der(0x0c, Buffer.from(host)))))
  const basicConstraints = sequence(identifier('551d13'), octets(sequence(der(1, Buffer.from([0xff])))))
  const alternativeNames = sequence(identifier('551d11'), octets(sequence(der(0x82, Buffer.from(host)))))
  const unsigned = sequence(
    der(0xa0, der(2, Buffer.from([2]))),
    der(2, Buffer.from([1])),
    ECDSA_WITH_SHA256,
    name,
    sequence(utcTime(new Date(Date.now() - DAY)), utcTime(new Date(Date.now() + DAY))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(basicConstraints, alternativeNames)),
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', unsigned, privateKey)])
  const certificate = sequence(unsigned, ECDSA_WITH_SHA256, der(3, signature))
  const lines = (certificate.toString('base64').match(/.{1,64}/g) ?? []).join('\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}
