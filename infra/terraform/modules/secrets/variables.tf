variable "name" {
  description = "What the secrets' names begin with."
  type        = string
}

variable "values" {
  description = "What is secret. Never stored in the state."
  sensitive   = true
  ephemeral   = true

  type = object({
    worker_key     = string
    seal_key       = string
    audit_key      = string
    mysql_password = string
    redis_token    = string
    kafka_password = string
  })
}

variable "values_version" {
  description = "Number that goes up when passwords change."
  type        = number
}

variable "keys_version" {
  description = "Number that goes up when worker key and seal key change."
  type        = number
}

variable "mysql" {
  description = "Where the database is; tls is the DSN's parameter: true, or skip-verify to encrypt without asking who answers."
  type        = object({ host = string, port = number, username = string, database = string, tls = string })
}

variable "redis" {
  description = "Where the channels are."
  type        = object({ host = string, port = number })
}

variable "kafka_username" {
  description = "User of Kafka; null where Kafka asks for none."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "Key that secrets are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
