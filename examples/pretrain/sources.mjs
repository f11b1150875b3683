// @ts-check
/**
 * @file The Debian packages that the corpus is made of, one line each. Data only.
 *
 * `licence` is what the manifest and the model card say; `proof` must be found in the package's copyright file, or the
 * build stops. Packages whose text is under the GPL, the GFDL or a CC-BY-SA licence are not listed, whatever their
 * code is under (krb5-doc and python-celery-doc, for example, are left out because their manuals are CC-BY-SA).
 * `exclude` names files inside a listed package that are somebody else's work under other terms.
 */

/**
 * @typedef {{
 *   package: string, licence: string, proof: RegExp, copyright?: string,
 *   reader: 'html' | 'sword' | 'dict' | 'wordnet' | 'rdata' | 'text',
 *   path: string, exclude?: RegExp, maxBytes?: number,
 * }} Source `path` is a folder or file inside the unpacked package; `maxBytes` caps what one package contributes.
 */

const PUBLIC_DOMAIN = /public[ -]domain/i
const APACHE = /Apache-2(\.0)?|APACHE-2-LLVM/
const BSD = /BSD-[23]|BSD-3-Clause/i
const MIT = /Expat|MIT/

/** @type {Source[]} */
export const SOURCES = [
  // Books and prose.
  {
    package: 'r-cran-janeaustenr',
    licence: 'MIT (texts: public domain, 1811-1817)',
    proof: MIT,
    reader: 'rdata',
    path: 'usr/lib/R/site-library/janeaustenr/data/Rdata.rdb',
  },
  {
    package: 'golang-github-klauspost-compress-dev',
    licence: 'BSD-3-Clause (text: public domain, 1876)',
    proof: BSD,
    reader: 'text',
    path: 'usr/share/gocode/src/github.com/klauspost/compress/testdata/Mark.Twain-Tom.Sawyer.txt',
  },
  {
    package: 'golang-1.19-src',
    licence: 'BSD-3-Clause (text: public domain, 1704)',
    proof: BSD,
    reader: 'text',
    path: 'usr/share/go-1.19/src/testdata/Isaac.Newton-Opticks.txt',
  },
  {
    package: 'dict-devil',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'dict',
    path: 'usr/share/dictd/devil',
  },
  {
    package: 'dict-jargon',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'dict',
    path: 'usr/share/dictd/jargon',
  },
  {
    package: 'wordnet-base',
    licence: 'WordNet 3.0',
    proof: /WordNet3\.0/,
    reader: 'wordnet',
    path: 'usr/share/wordnet',
  },
  {
    package: 'sword-text-web',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'sword',
    path: 'usr/share/sword/modules/texts/ztext/engWEB2015eb',
  },
  {
    package: 'sword-text-kjv',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'sword',
    path: 'usr/share/sword/modules/texts/ztext/engKJV2006eb',
    maxBytes: 1.5e6,
  },
  {
    package: 'sword-comm-mhcc',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'sword',
    path: 'usr/share/sword/modules/comments/zcom/mhcc',
  },
  {
    package: 'sword-comm-tdavid',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'sword',
    path: 'usr/share/sword/modules/comments/zcom/tdavid',
    maxBytes: 5e6,
  },
  {
    package: 'sword-comm-scofield',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'sword',
    path: 'usr/share/sword/modules/comments/zcom/scofield',
  },

  // Manuals.
  {
    package: 'sqlite3-doc',
    licence: 'public domain',
    proof: PUBLIC_DOMAIN,
    reader: 'html',
    path: 'usr/share/doc/sqlite3',
    exclude: /releaselog|changes\.html|session/,
  },
  {
    package: 'postgresql-doc-15',
    licence: 'PostgreSQL',
    proof: /PostgreSQL/,
    reader: 'html',
    path: 'usr/share/doc/postgresql-doc-15/html',
    exclude: /release-/,
    maxBytes: 2.5e6,
  },
  {
    package: 'python3.11-doc',
    licence: 'PSF-2.0',
    proof: /PYTHON SOFTWARE FOUNDATION LICENSE/,
    reader: 'html',
    path: 'usr/share/doc/python3.11/html',
    exclude: /changelog|license\.html/,
    maxBytes: 2.5e6,
  },
  {
    package: 'python-django-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-django-doc/html',
    exclude: /_modules/,
  },
  {
    package: 'python-sqlalchemy-doc',
    licence: 'MIT',
    proof: MIT,
    reader: 'html',
    path: 'usr/share/doc/python-sqlalchemy-doc/html',
    exclude: /changelog/,
  },
  {
    package: 'python-sklearn-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-sklearn-doc',
  },
  {
    package: 'python-scipy-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-scipy-doc',
    exclude: /release|changelog/,
    maxBytes: 1.5e6,
  },
  {
    package: 'python-skimage-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-skimage-doc',
  },
  {
    package: 'python-astropy-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-astropy-doc',
    exclude: /_modules|changelog/,
    maxBytes: 1.5e6,
  },
  {
    package: 'python-pytest-doc',
    licence: 'MIT',
    proof: MIT,
    reader: 'html',
    path: 'usr/share/doc/python-pytest-doc',
    exclude: /changelog|announce/,
  },
  {
    package: 'python-flask-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-flask-doc',
  },
  {
    package: 'python-scrapy-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/python-scrapy-doc',
    exclude: /news/,
  },
  {
    package: 'twisted-doc',
    licence: 'MIT',
    proof: MIT,
    reader: 'html',
    path: 'usr/share/doc',
    exclude: /_modules/,
    maxBytes: 1e6,
  },
  {
    package: 'sphinx-doc',
    licence: 'BSD-2-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/sphinx-doc',
    exclude: /changes/,
  },
  {
    package: 'rust-doc',
    licence: 'MIT or Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/rust-doc',
    exclude: /\/(core|alloc|std|proc_macro|test|src|print)\b|releases/,
    maxBytes: 2.5e6,
  },
  {
    package: 'golang-1.19-doc',
    licence: 'BSD-3-Clause',
    proof: BSD,
    reader: 'html',
    path: 'usr/share/doc/golang-1.19-doc',
  },
  {
    package: 'apache2-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/apache2-doc/manual/en',
  },
  {
    package: 'erlang-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc',
    exclude: /notes/,
    maxBytes: 2e6,
  },
  {
    package: 'llvm-15-doc',
    licence: 'Apache-2.0 with LLVM exception',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc',
    maxBytes: 1.5e6,
  },
  {
    package: 'libboost1.81-doc',
    licence: 'BSL-1.0',
    proof: /BSL-1\.0/,
    reader: 'html',
    path: 'usr/share/doc',
    maxBytes: 2e6,
  },
  {
    package: 'nova-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/nova-doc',
    maxBytes: 1.2e6,
  },
  {
    package: 'neutron-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/neutron-doc',
    maxBytes: 1.2e6,
  },
  {
    package: 'keystone-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/keystone-doc',
    maxBytes: 1e6,
  },
  {
    package: 'swift-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/swift-doc',
    maxBytes: 1e6,
  },
  {
    package: 'ironic-doc',
    licence: 'Apache-2.0',
    proof: APACHE,
    reader: 'html',
    path: 'usr/share/doc/ironic-doc',
    maxBytes: 1e6,
  },
]
