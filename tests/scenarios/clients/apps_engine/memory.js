'use strict';

// What the Apps-Engine asks of a Rocket.Chat server, in memory: its storages, and its bridges to users, commands,
// HTTP and messages.

const { generateKeyPairSync } = require('crypto');

const ENGINE = '@rocket.chat/apps-engine';
const bridge = (name) => require(`${ENGINE}/server/bridges/${name}`)[name];
const { AppLogStorage, AppMetadataStorage, AppSourceStorage } = require(`${ENGINE}/server/storage`);

class Items extends AppMetadataStorage {
  constructor() {
    super('memory');
    this.items = new Map();
  }

  async create(item) {
    this.items.set(item.id, item);
    return item;
  }

  async update(item) {
    return this.create(item);
  }

  async retrieveOne(id) {
    return this.items.get(id) || null;
  }

  async retrieveAll() {
    return new Map(this.items);
  }

  async remove(id) {
    return { success: this.items.delete(id) };
  }
}

class Sources extends AppSourceStorage {
  constructor() {
    super();
    this.packages = new Map();
  }

  async store(item, zip) {
    this.packages.set(item.id, zip);
    return item.id;
  }

  async update(item, zip) {
    return this.store(item, zip);
  }

  async fetch(item) {
    return this.packages.get(item.id);
  }

  async remove(item) {
    this.packages.delete(item.id);
  }
}

// The engine swallows what an App throws and only logs it: keep it, so that a test can see it.
class Logs extends AppLogStorage {
  constructor(errors) {
    super('memory');
    this.errors = errors;
  }

  async storeEntries(appId, logger) {
    const failed = logger.getEntries().filter((entry) => entry.severity === 'error');
    this.errors.push(...failed.map((entry) => String(entry.args)));
  }

  async find() {
    return [];
  }

  async getEntriesFor() {
    return [];
  }

  async removeEntriesFor() {}
}

class Users extends bridge('UserBridge') {
  async create(data) {
    this.appUser = { ...data, id: 'app-user' };
    return this.appUser.id;
  }

  async getAppUser() {
    return this.appUser;
  }
}

class Commands extends bridge('CommandBridge') {
  constructor() {
    super();
    this.registered = new Map();
  }

  async doesCommandExist(command) {
    return this.registered.has(command);
  }

  async registerCommand(command) {
    this.registered.set(command.command, command);
  }

  async unregisterCommand(command) {
    this.registered.delete(command);
  }
}

class Http extends bridge('HttpBridge') {
  constructor(requests, patience) {
    super();
    this.requests = requests;
    this.patience = patience;
  }

  async call({ method, url, request }) {
    const { content, headers, timeout } = request;
    this.requests.push({ url, headers: { ...headers }, content, timeout });
    const response = await fetch(url, {
      method: method.toUpperCase(),
      headers: { ...headers },
      body: content,
      signal: AbortSignal.timeout(timeout * this.patience),
    }).catch((error) => {
      throw new Error(error.name === 'TimeoutError' ? `network timeout at: ${url}` : `request to ${url} failed`);
    });
    return { url, method, statusCode: response.status, headers: {}, content: await response.text() };
  }
}

class Messages extends bridge('MessageBridge') {
  constructor() {
    super();
    this.shown = [];
  }

  async create(message) {
    this.shown.push(line('room', message));
    return `message-${this.shown.length}`;
  }

  async notifyUser(user, message) {
    this.shown.push(line(`@${user.username}`, message));
  }
}

function line(to, { room, sender, text, threadId }) {
  return { to, room: room.id, sender: sender.username, text, thread: threadId || null };
}

class Internal extends bridge('InternalBridge') {
  getUsernamesOfRoomById() {
    return [];
  }
}

class Activation extends bridge('AppActivationBridge') {
  async appAdded() {}

  async appStatusChanged() {}

  async actionsChanged() {}
}

class Details extends bridge('AppDetailChangesBridge') {
  onAppSettingsChange() {}
}

// The engine signs what it stores and checks that on every start of an App.
class Federation {
  constructor() {
    this.keys = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
  }

  async getPrivateKey() {
    return this.keys.privateKey;
  }

  async getPublicKey() {
    return this.keys.publicKey;
  }
}

// Bridges the engine wants to have and this App never calls: without their abstract methods a call fails.
const UNUSED = [
  'Api',
  'CloudWorkspace',
  'EnvironmentalVariable',
  'Listener',
  'Livechat',
  'Moderation',
  'OAuthApps',
  'Persistence',
  'Room',
  'Scheduler',
  'ServerSetting',
  'UiInteraction',
  'Upload',
  'VideoConference',
];

class Bridges extends bridge('AppBridges') {
  constructor({ requests, patience }) {
    super();
    const parts = {
      User: new Users(),
      Command: new Commands(),
      Http: new Http(requests, patience),
      Message: new Messages(),
      Internal: new Internal(),
      InternalFederation: new Federation(),
      AppActivation: new Activation(),
      AppDetailChanges: new Details(),
    };
    for (const name of UNUSED) {
      parts[name] = new (bridge(`${name}Bridge`))();
    }
    for (const [name, part] of Object.entries(parts)) {
      this[`get${name}Bridge`] = () => part;
    }
  }
}

module.exports = { Bridges, Items, Logs, Sources };
